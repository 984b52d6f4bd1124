/* A stream that the host pushes, its samples lent instead of copied. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned released;
static pthread_mutex_t released_lock = PTHREAD_MUTEX_INITIALIZER;

static void release(void *user_data) {
    free(user_data);
    pthread_mutex_lock(&released_lock);
    released++;
    pthread_mutex_unlock(&released_lock);
}

static livereel_engine *running(struct event_log *log) {
    livereel_engine *engine = test_engine();
    CALL(livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
    CALL(livereel_engine_start(engine, &error));
    return engine;
}

static void a_stream_of_lent_samples_is_recorded_and_each_is_given_back_once(void) {
    static const uint8_t config[] = {0x11, 0x90};
    struct event_log *log = log_new();
    livereel_engine *engine = running(log);
    livereel_push *push = NULL;
    uint32_t track = 0;
    released = 0;
    CALL(livereel_push_new(engine, "pushed", -1, "me", NULL, &push, &error));
    CALL(livereel_push_track(push, "aac", config, sizeof config, 48000, &track, &error));
    CHECK(track == 1);
    for (unsigned number = 0; number < 500; number++) {
        livereel_sample sample = LIVEREEL_SAMPLE_INIT;
        uint8_t *bytes = malloc(300);
        memset(bytes, (int)number, 300);
        sample.track = track;
        sample.pts = sample.dts = (int64_t)number * 1024;
        sample.data = bytes;
        sample.size = 300;
        sample.release = release;
        sample.release_data = bytes;
        CALL(livereel_push_sample(push, &sample, &error));
    }
    CALL(livereel_push_wait(push, 10000, &error));
    CALL(livereel_push_end(push, &error));
    CHECK(livereel_push_end(push, NULL) == LIVEREEL_E_INVALID_STATE);
    log_wait(log, LIVEREEL_EVENT_RECORDING_FINISHED, 1);
    livereel_push_free(push);
    livereel_engine_free(engine);
    CHECK(released == 500);
    CHECK(log_count(log, LIVEREEL_EVENT_FILE_FINISHED) == 1);
    log_free(log);
}

/* MD5 of the payloads of each stream, as ffmpeg reads a file. */
static void stream_hashes(const char *path, char *text, size_t size) {
    char command[2048];
    FILE *pipe;
    size_t length;
    snprintf(command, sizeof command,
             "ffmpeg -v error -i '%s' -map 0:v -map 0:a -c copy -f streamhash -hash md5 -", path);
    pipe = popen(command, "r");
    CHECK(pipe != NULL);
    length = fread(text, 1, size - 1, pipe);
    text[length] = '\0';
    CHECK(pclose(pipe) == 0 && length > 0);
}

static uint32_t big_endian(const uint8_t *bytes, size_t count) {
    uint32_t value = 0;
    while (count--) {
        value = value << 8 | *bytes++;
    }
    return value;
}

/* Pushes the H.264 and AAC of an FLV file, copied by the library; gives the samples pushed. */
static unsigned push_flv(livereel_push *push, const uint8_t *flv, size_t size) {
    uint32_t video = 0;
    uint32_t audio = 0;
    unsigned pushed = 0;
    size_t at = 13; // the header, and the size of no tag
    while (at + 11 < size) {
        const uint8_t *tag = flv + at;
        size_t length = big_endian(tag + 1, 3);
        const uint8_t *body = tag + 11;
        int64_t time_ms = (int64_t)(big_endian(tag + 4, 3) | (uint32_t)tag[7] << 24);
        livereel_sample sample = LIVEREEL_SAMPLE_INIT;
        int status;
        at += 11 + length + 4;
        if (tag[0] == 9 && body[1] == 0) {
            CALL(livereel_push_track(push, "h264", body + 5, length - 5, 1000, &video, &error));
        } else if (tag[0] == 8 && body[1] == 0) {
            CALL(livereel_push_track(push, "aac", body + 2, length - 2, 1000, &audio, &error));
        } else if (body[1] == 1 && (tag[0] == 8 || tag[0] == 9)) {
            size_t head = tag[0] == 9 ? 5 : 2;
            sample.track = tag[0] == 9 ? video : audio;
            sample.dts = time_ms;
            sample.pts = time_ms + (tag[0] == 9 ? big_endian(body + 2, 3) : 0);
            sample.key = tag[0] == 8 || body[0] >> 4 == 1;
            sample.data = body + head;
            sample.size = length - head;
            while ((status = livereel_push_sample(push, &sample, NULL)) == LIVEREEL_E_BUSY) {
                CALL(livereel_push_wait(push, 10000, &error));
            }
            CHECK(status == LIVEREEL_OK);
            pushed++;
        }
    }
    return pushed;
}

static void a_real_file_is_recorded_packet_for_packet(void) {
    struct event_log *log = log_new();
    livereel_engine *engine = running(log);
    livereel_push *push = NULL;
    struct seen recorded;
    char path[1024];
    char command[2048];
    char wanted[512];
    char got[512];
    static uint8_t flv[4 * 1024 * 1024];
    FILE *file;
    size_t size;
    unsigned pushed;
    snprintf(path, sizeof path, "%s/source.flv", test_folder());
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i testsrc2=size=160x120:rate=25:duration=4 -f lavfi -i sine=duration=4"
             " -c:v libx264 -preset ultrafast -bf 2 -g 25 -c:a aac '%s'", path);
    CHECK(system(command) == 0);
    file = fopen(path, "rb");
    CHECK(file != NULL);
    size = fread(flv, 1, sizeof flv, file);
    CHECK(size > 0 && size < sizeof flv);
    fclose(file);
    CALL(livereel_push_new(engine, "file", 1, NULL, NULL, &push, &error));
    pushed = push_flv(push, flv, size);
    CHECK(pushed > 200);
    CALL(livereel_push_end(push, &error));
    recorded = log_wait(log, LIVEREEL_EVENT_FILE_FINISHED, 1);
    stream_hashes(path, wanted, sizeof wanted);
    stream_hashes(recorded.path, got, sizeof got);
    CHECK(strcmp(wanted, got) == 0);
    livereel_push_free(push);
    livereel_engine_free(engine);
    log_free(log);
}

static void a_sample_that_is_not_taken_stays_the_callers(void) {
    struct event_log *log = log_new();
    livereel_engine *engine = running(log);
    livereel_push *push = NULL;
    livereel_sample sample = LIVEREEL_SAMPLE_INIT;
    uint8_t byte = 1;
    char *session = NULL;
    released = 0;
    CALL(livereel_push_new(engine, "pushed", 0, NULL, NULL, &push, &error));
    CHECK(livereel_push_new(engine, "pushed", 0, NULL, NULL, &push, NULL) == LIVEREEL_E_INVALID_ARGUMENT);
    CALL(livereel_push_session_id(push, &session, &error));
    CHECK(strlen(session) == 36);
    CALL(livereel_session_request_key_frame(engine, session, &error));
    sample.track = 7;
    sample.data = &byte;
    sample.size = 1;
    sample.release = release;
    CHECK(livereel_push_sample(push, &sample, NULL) == LIVEREEL_E_NOT_FOUND);
    sample.data = NULL;
    CHECK(livereel_push_sample(push, &sample, NULL) == LIVEREEL_E_INVALID_ARGUMENT);
    sample.struct_size = 4;
    CHECK(livereel_push_sample(push, &sample, NULL) == LIVEREEL_E_INVALID_ARGUMENT);
    CHECK(livereel_push_track(push, "h266", NULL, 0, 0, &sample.track, NULL) == LIVEREEL_E_INVALID_ARGUMENT);
    CALL(livereel_session_terminate(engine, session, &error));
    CHECK(released == 0);
    livereel_string_free(session);
    livereel_push_free(push);
    livereel_push_free(NULL);
    livereel_engine_free(engine);
    log_free(log);
}

static void a_pull_is_begun_listed_and_ended(void) {
    struct event_log *log = log_new();
    livereel_engine *engine = running(log);
    livereel_record_options options = LIVEREEL_RECORD_OPTIONS_INIT;
    char *session = NULL;
    char *sessions = NULL;
    // The discard port: nobody listens, and the pull goes on trying.
    const char *url = "rtsp://user:secret@127.0.0.1:9/door";
    options.file_template = "{streamName}";
    CHECK(livereel_pull_start(engine, "door", NULL, -1, NULL, NULL, NULL, NULL, NULL, NULL) ==
          LIVEREEL_E_INVALID_ARGUMENT);
    CHECK(livereel_pull_start(engine, url, NULL, -1, NULL, NULL, "quic", NULL, NULL, NULL) ==
          LIVEREEL_E_INVALID_ARGUMENT);
    CALL(livereel_pull_start(engine, url, "front", 1, "me", NULL, "udp", &options, &session, &error));
    CHECK(strlen(session) == 36);
    CALL(livereel_engine_sessions_json(engine, &sessions, &error));
    CHECK(strstr(sessions, session) != NULL);
    CHECK(strstr(sessions, "secret") == NULL);
    CALL(livereel_session_terminate(engine, session, &error));
    livereel_string_free(sessions);
    livereel_string_free(session);
    livereel_engine_free(engine);
    log_free(log);
}

int main(void) {
    RUN(a_stream_of_lent_samples_is_recorded_and_each_is_given_back_once);
    RUN(a_real_file_is_recorded_packet_for_packet);
    RUN(a_sample_that_is_not_taken_stays_the_callers);
    RUN(a_pull_is_begun_listed_and_ended);
    return 0;
}
