/* A stream that the host pushes, its samples lent instead of copied. */
#include "support.h"

#include <pthread.h>
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
    RUN(a_sample_that_is_not_taken_stays_the_callers);
    RUN(a_pull_is_begun_listed_and_ended);
    return 0;
}
