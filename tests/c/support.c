#define _XOPEN_SOURCE 700

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Longer than anything takes, valgrind included. */
enum { DEADLINE_S = 120 };

static const char *running = "";
static char folder[256];

static int remove_entry(const char *path, const struct stat *status, int flag, struct FTW *place) {
    (void)status;
    (void)flag;
    (void)place;
    return remove(path);
}

static void remove_folder(void) {
    if (folder[0] != 0) {
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        folder[0] = 0;
    }
}

void check_failed(const char *file, int line, const char *what) {
    printf("FAIL %s (%s:%d: %s)\n", running, file, line, what);
    fflush(NULL);
    remove_folder();
    _exit(1);
}

void run_test(const char *name, void (*test)(void)) {
    running = name;
    test();
    remove_folder();
    printf("ok %s\n", name);
    fflush(stdout);
}

const char *test_folder(void) {
    if (folder[0] == 0) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/livereel-c-XXXXXX", parent ? parent : "/tmp");
        CHECK(mkdtemp(folder) != NULL);
    }
    return folder;
}

static struct timespec deadline(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += DEADLINE_S;
    return at;
}

struct event_log *log_new(void) {
    struct event_log *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->changed, NULL);
    return log;
}

void log_free(struct event_log *log) {
    pthread_mutex_destroy(&log->mutex);
    pthread_cond_destroy(&log->changed);
    free(log->events);
    free(log);
}

static void copy(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from ? from : "");
}

void log_event(const livereel_event *event, void *user_data) {
    struct event_log *log = user_data;
    struct seen *grown;
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.type = event->type;
    seen.seq = event->seq;
    seen.size_bytes = event->size_bytes;
    seen.duration_ms = event->duration_ms;
    seen.part = event->part;
    copy(seen.media_session_id, sizeof seen.media_session_id, event->media_session_id);
    copy(seen.recording_id, sizeof seen.recording_id, event->recording_id);
    copy(seen.stream_name, sizeof seen.stream_name, event->stream_name);
    copy(seen.reason, sizeof seen.reason, event->reason);
    copy(seen.path, sizeof seen.path, event->path);
    if (getenv("LIVEREEL_TEST_EVENTS") != NULL) {
        fprintf(stderr, "%s\n", event->json);
    }
    pthread_mutex_lock(&log->mutex);
    grown = realloc(log->events, (log->count + 1) * sizeof *grown);
    CHECK(grown != NULL);
    log->events = grown;
    log->events[log->count++] = seen;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

void log_drop(void *user_data) {
    struct event_log *log = user_data;
    pthread_mutex_lock(&log->mutex);
    log->drops++;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

static const struct seen *find(const struct event_log *log, int32_t type, unsigned nth) {
    for (size_t index = 0; index < log->count; index++) {
        if (log->events[index].type == type && --nth == 0) {
            return &log->events[index];
        }
    }
    return NULL;
}

struct seen log_wait(struct event_log *log, int32_t type, unsigned nth) {
    struct timespec until = deadline();
    const struct seen *found;
    struct seen seen;
    pthread_mutex_lock(&log->mutex);
    while ((found = find(log, type, nth)) == NULL) {
        if (pthread_cond_timedwait(&log->changed, &log->mutex, &until) == ETIMEDOUT) {
            fprintf(stderr, "event %d number %u of type %d is missing; seen:", (int)log->count, nth, (int)type);
            for (size_t index = 0; index < log->count; index++) {
                fprintf(stderr, " %d", (int)log->events[index].type);
            }
            fprintf(stderr, "\n");
            check_failed(__FILE__, __LINE__, "an event did not come in time");
        }
    }
    seen = *found;
    pthread_mutex_unlock(&log->mutex);
    return seen;
}

size_t log_count(struct event_log *log, int32_t type) {
    size_t count = 0;
    pthread_mutex_lock(&log->mutex);
    for (size_t index = 0; index < log->count; index++) {
        count += log->events[index].type == type;
    }
    pthread_mutex_unlock(&log->mutex);
    return count;
}

void log_wait_drops(struct event_log *log, unsigned drops) {
    struct timespec until = deadline();
    pthread_mutex_lock(&log->mutex);
    while (log->drops < drops) {
        if (pthread_cond_timedwait(&log->changed, &log->mutex, &until) == ETIMEDOUT) {
            check_failed(__FILE__, __LINE__, "drop was not called in time");
        }
    }
    pthread_mutex_unlock(&log->mutex);
}

unsigned log_drops(struct event_log *log) {
    unsigned drops;
    pthread_mutex_lock(&log->mutex);
    drops = log->drops;
    pthread_mutex_unlock(&log->mutex);
    return drops;
}

void latch_open(struct latch *latch) {
    pthread_mutex_lock(&latch->mutex);
    latch->open = true;
    pthread_cond_broadcast(&latch->changed);
    pthread_mutex_unlock(&latch->mutex);
}

void latch_wait(struct latch *latch) {
    struct timespec until = deadline();
    pthread_mutex_lock(&latch->mutex);
    while (!latch->open) {
        if (pthread_cond_timedwait(&latch->changed, &latch->mutex, &until) == ETIMEDOUT) {
            check_failed(__FILE__, __LINE__, "a latch was not opened in time");
        }
    }
    pthread_mutex_unlock(&latch->mutex);
}

bool latch_is_open(struct latch *latch) {
    bool open;
    pthread_mutex_lock(&latch->mutex);
    open = latch->open;
    pthread_mutex_unlock(&latch->mutex);
    return open;
}

livereel_config *test_config(void) {
    livereel_config *config = NULL;
    CALL(livereel_config_new(&config, &error));
    CALL(livereel_config_set(config, "record_dir", test_folder(), &error));
    CALL(livereel_config_set(config, "rtmp_listen", "127.0.0.1:0", &error));
    CALL(livereel_config_set(config, "record_stop_timeout", "60", &error));
    return config;
}

livereel_engine *test_engine(void) {
    livereel_config *config = test_config();
    livereel_engine *engine = NULL;
    CALL(livereel_engine_new(config, &engine, &error));
    livereel_config_free(config);
    return engine;
}

pid_t publish(const livereel_engine *engine, const char *stream, const char *seconds, bool live) {
    char *address = NULL;
    char url[512];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    CALL(livereel_engine_address(engine, "rtmp", &address, &error));
    snprintf(url, sizeof url, "rtmp://%s/live/%s", address, stream);
    livereel_string_free(address);
    char *arguments[] = {
        "ffmpeg", "-nostdin", "-loglevel", "quiet", live ? "-re" : "-nostdin",
        "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", live ? "-re" : "-nostdin",
        "-f", "lavfi", "-i", "sine=sample_rate=44100",
        "-t", (char *)(uintptr_t)seconds, "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1",
        "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", url, NULL,
    };
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    CHECK(posix_spawnp(&pid, "ffmpeg", &actions, NULL, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

void publisher_end(pid_t pid) {
    kill(pid, SIGINT);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
