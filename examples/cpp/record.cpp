// Records whatever is published over RTMP, and tells of every finished file.
//
//   ./record RECORD_DIR RTMP_LISTEN [--files N]
//   ./record /tmp/records 127.0.0.1:1935
//   ffmpeg -re -i talk.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/talk
//
// Ends, all files finished, on SIGINT or SIGTERM, or after N finished files.
#include <livereel.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace livereel {

// What a failed call throws.
class Error : public std::runtime_error {
public:
    Error(int32_t status, const char *message) : std::runtime_error(message), status_(status) {}
    int32_t status() const noexcept { return status_; }

private:
    int32_t status_;
};

// Calls a function whose last argument is the error out-parameter, and throws on failure.
template <typename Function, typename... Arguments> void call(Function function, Arguments... arguments) {
    livereel_error *raw = nullptr;
    const int32_t status = function(arguments..., &raw);
    const std::unique_ptr<livereel_error, decltype(&livereel_error_free)> error(raw, livereel_error_free);
    if (status != LIVEREEL_OK) {
        throw Error(status, livereel_error_message(error.get()));
    }
}

class Config {
public:
    Config() {
        livereel_config *raw = nullptr;
        call(livereel_config_new, &raw);
        config_.reset(raw);
    }
    Config &set(const std::string &key, const std::string &value) {
        call(livereel_config_set, config_.get(), key.c_str(), value.c_str());
        return *this;
    }
    const livereel_config *get() const noexcept { return config_.get(); }

private:
    std::unique_ptr<livereel_config, decltype(&livereel_config_free)> config_{nullptr, livereel_config_free};
};

class Engine {
public:
    using Callback = std::function<void(const livereel_event &)>;

    explicit Engine(const Config &config) {
        livereel_engine *raw = nullptr;
        call(livereel_engine_new, config.get(), &raw);
        engine_.reset(raw);
    }

    // The callback lives in the engine until its last call is over.
    void on_event(Callback callback) {
        auto owned = std::make_unique<Callback>(std::move(callback));
        call(livereel_engine_on_event, engine_.get(), &Engine::deliver, static_cast<void *>(owned.get()),
             &Engine::drop, static_cast<uint64_t *>(nullptr));
        owned.release();
    }
    void start() { call(livereel_engine_start, engine_.get()); }
    void stop(int64_t timeout_ms = -1) { call(livereel_engine_stop, engine_.get(), timeout_ms); }
    std::string address(const std::string &protocol) const {
        char *raw = nullptr;
        call(livereel_engine_address, static_cast<const livereel_engine *>(engine_.get()), protocol.c_str(), &raw);
        const std::unique_ptr<char, decltype(&livereel_string_free)> text(raw, livereel_string_free);
        return text.get();
    }

private:
    // No exception may leave a callback.
    static void deliver(const livereel_event *event, void *user_data) noexcept {
        try {
            (*static_cast<Callback *>(user_data))(*event);
        } catch (const std::exception &error) {
            std::cerr << "an event callback threw: " << error.what() << '\n';
        } catch (...) {
            std::cerr << "an event callback threw\n";
        }
    }
    static void drop(void *user_data) noexcept { delete static_cast<Callback *>(user_data); }

    std::unique_ptr<livereel_engine, decltype(&livereel_engine_free)> engine_{nullptr, livereel_engine_free};
};

} // namespace livereel

namespace {

// A byte in this pipe ends the program: the signal handler and the callback both write one.
int ending[2];

extern "C" void end_program(int) {
    const int saved = errno;
    [[maybe_unused]] const auto written = write(ending[1], "e", 1);
    errno = saved;
}

const char *or_none(const char *text) { return text != nullptr ? text : "none"; }

} // namespace

int main(int argc, char **argv) try {
    unsigned long files_wanted = 0;
    if (argc == 5 && std::string_view(argv[3]) == "--files") {
        files_wanted = std::stoul(argv[4]);
    } else if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " RECORD_DIR RTMP_LISTEN [--files N]\n";
        return 2;
    }
    if (pipe(ending) != 0) {
        throw std::runtime_error("no pipe");
    }
    std::signal(SIGINT, end_program);
    std::signal(SIGTERM, end_program);

    livereel::Config config;
    config.set("record_dir", argv[1]).set("rtmp_listen", argv[2]);
    livereel::Engine engine(config);
    engine.on_event([files_wanted, files = 0UL](const livereel_event &event) mutable {
        if (event.type != LIVEREEL_EVENT_FILE_FINISHED) {
            std::cout << event.json << std::endl;
            return;
        }
        std::cout << "finished " << event.path << ": " << event.size_bytes << " bytes, " << event.duration_ms
                  << " ms, video " << or_none(event.video_codec) << ", audio " << or_none(event.audio_codec)
                  << ", because " << event.reason << std::endl;
        if (++files == files_wanted) {
            end_program(0);
        }
    });
    engine.start();
    std::cout << "livereel " << livereel_version() << " records to " << argv[1] << "; publish to rtmp://"
              << engine.address("rtmp") << "/live/NAME" << std::endl;

    char byte;
    while (read(ending[0], &byte, 1) < 0 && errno == EINTR) {
    }
    engine.stop();
    return EXIT_SUCCESS;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
}
