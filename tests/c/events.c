/* A real publish, and what the callback is told of it. */
#include "support.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* Checks every event as it comes, then logs it. */
static void check_event(const livereel_event *event, void *user_data) {
    CHECK(event->struct_size == sizeof *event);
    CHECK(event->seq >= 1);
    CHECK(event->time_unix_ms > 1600000000000);
    CHECK(event->name != NULL && event->json[0] == '{');
    CHECK(strstr(event->json, event->name) != NULL);
    switch (event->type) {
    case LIVEREEL_EVENT_LISTENING:
        CHECK(strcmp(event->protocol, "rtmp") == 0 && strstr(event->address, "127.0.0.1:") == event->address);
        CHECK(event->media_session_id == NULL && event->recording_id == NULL && event->path == NULL);
        break;
    case LIVEREEL_EVENT_SESSION_PUBLISHED:
        CHECK(strcmp(event->protocol, "rtmp") == 0 && strstr(event->peer, "127.0.0.1:") == event->peer);
        CHECK(strlen(event->media_session_id) == 36 && event->session_id != NULL);
        CHECK(strcmp(event->stream_name, "camera") == 0 && event->login != NULL);
        CHECK(strstr(event->json, "\"tracks\"") != NULL);
        break;
    case LIVEREEL_EVENT_RECORDING_STARTED:
        CHECK(event->file_name != NULL && event->recording_id != NULL && event->path == NULL);
        break;
    case LIVEREEL_EVENT_FILE_FINISHED:
        CHECK(strcmp(event->container, "mp4") == 0 && event->part == 1);
        CHECK(strcmp(event->video_codec, "h264") == 0 && strcmp(event->audio_codec, "aac") == 0);
        CHECK(event->path[0] == '/' && strstr(event->path, event->file_name) != NULL);
        CHECK(event->end_time_ms > event->start_time_ms && event->end_unix_ms >= event->start_unix_ms);
        CHECK(event->duration_ms > 1500 && event->duration_ms < 2500);
        CHECK(event->reason != NULL && event->sha256 == NULL && event->code == NULL && event->message == NULL);
        break;
    case LIVEREEL_EVENT_RECORDING_FINISHED:
        CHECK(event->parts == 1 && event->size_bytes > 0 && event->reason != NULL && event->path == NULL);
        break;
    case LIVEREEL_EVENT_SESSION_ENDED:
        CHECK(event->reason != NULL && event->recording_id == NULL);
        break;
    default:
        CHECK(event->type == LIVEREEL_EVENT_WARNING && event->code != NULL && event->message != NULL);
    }
    log_event(event, user_data);
}

static void a_publish_is_told_from_listening_to_the_finished_file(void) {
    static const int32_t expected[] = {
        LIVEREEL_EVENT_LISTENING,     LIVEREEL_EVENT_SESSION_PUBLISHED,  LIVEREEL_EVENT_RECORDING_STARTED,
        LIVEREEL_EVENT_FILE_FINISHED, LIVEREEL_EVENT_RECORDING_FINISHED,
    };
    struct event_log *log = log_new();
    livereel_engine *engine = test_engine();
    struct seen file, recording, session;
    struct stat status;
    pid_t publisher;
    size_t next = 0;

    CALL(livereel_engine_on_event(engine, check_event, log, log_drop, NULL, &error));
    CALL(livereel_engine_start(engine, &error));
    log_wait(log, LIVEREEL_EVENT_LISTENING, 1);
    publisher = publish(engine, "camera", "2", false);
    session = log_wait(log, LIVEREEL_EVENT_SESSION_PUBLISHED, 1);
    file = log_wait(log, LIVEREEL_EVENT_FILE_FINISHED, 1);
    recording = log_wait(log, LIVEREEL_EVENT_RECORDING_FINISHED, 1);
    log_wait(log, LIVEREEL_EVENT_SESSION_ENDED, 1);
    publisher_end(publisher);

    CHECK(stat(file.path, &status) == 0);
    CHECK((uint64_t)status.st_size == file.size_bytes && file.size_bytes == recording.size_bytes);
    CHECK(strcmp(file.media_session_id, session.media_session_id) == 0);
    CHECK(strcmp(file.recording_id, recording.recording_id) == 0);
    CALL(livereel_engine_stop(engine, -1, &error));
    livereel_engine_free(engine);
    log_wait_drops(log, 1);

    for (size_t index = 0; index < log->count; index++) {
        CHECK(log->events[index].seq == index + 1);
        if (next < sizeof expected / sizeof *expected && log->events[index].type == expected[next]) {
            next++;
        }
    }
    CHECK(next == sizeof expected / sizeof *expected);
    log_free(log);
}

static void every_subscription_gets_every_event_and_ends_by_itself(void) {
    struct event_log *whole = log_new();
    struct event_log *early = log_new();
    livereel_engine *engine = test_engine();
    uint64_t first = 0, second = 0;
    pid_t publisher;
    CALL(livereel_engine_on_event(engine, log_event, whole, log_drop, &first, &error));
    CALL(livereel_engine_on_event(engine, log_event, early, log_drop, &second, &error));
    CHECK(first != second);
    CALL(livereel_engine_start(engine, &error));
    log_wait(early, LIVEREEL_EVENT_LISTENING, 1);
    CALL(livereel_engine_off_event(engine, second, &error));
    CHECK(log_drops(early) == 1);
    CALL(livereel_engine_off_event(engine, second, &error));
    publisher = publish(engine, "camera", "1", false);
    log_wait(whole, LIVEREEL_EVENT_FILE_FINISHED, 1);
    publisher_end(publisher);
    CHECK(early->count == 1 && log_drops(early) == 1 && log_drops(whole) == 0);
    livereel_engine_free(engine);
    log_wait_drops(whole, 1);
    CHECK(log_drops(early) == 1);
    log_free(whole);
    log_free(early);
}

/* A command is carried out on the recording's own thread: no event tells when. */
static void wait_until_listed(livereel_engine *engine, const char *fact) {
    time_t begin = time(NULL);
    bool listed = false;
    while (!listed) {
        char *list = NULL;
        CALL(livereel_engine_recordings_json(engine, &list, &error));
        listed = strstr(list, fact) != NULL;
        livereel_string_free(list);
        CHECK(time(NULL) - begin < 120);
        sched_yield();
    }
}

static void a_recording_is_started_rotated_paused_resumed_and_stopped(void) {
    struct event_log *log = log_new();
    livereel_config *config = test_config();
    livereel_engine *engine = NULL;
    livereel_record_options options = LIVEREEL_RECORD_OPTIONS_INIT;
    struct seen session, file;
    char *recording = NULL;
    char *list = NULL;
    pid_t publisher;

    CALL(livereel_config_set(config, "record_streams", "false", &error));
    CALL(livereel_engine_new(config, &engine, &error));
    CALL(livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
    CALL(livereel_engine_start(engine, &error));
    publisher = publish(engine, "camera", "100", true);
    session = log_wait(log, LIVEREEL_EVENT_SESSION_PUBLISHED, 1);
    CALL(livereel_engine_sessions_json(engine, &list, &error));
    CHECK(strstr(list, session.media_session_id) != NULL && strstr(list, "\"camera\"") != NULL);
    livereel_string_free(list);

    options.rotation = "never on Sundays";
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT,
            livereel_recording_start(engine, session.media_session_id, &options, &recording, &error));
    CHECK(recording == NULL);
    options.rotation = "1h";
    options.file_template = "by-hand-{streamName}";
    CALL(livereel_recording_start(engine, session.media_session_id, &options, &recording, &error));
    log_wait(log, LIVEREEL_EVENT_RECORDING_STARTED, 1);
    CALL(livereel_engine_recordings_json(engine, &list, &error));
    CHECK(strstr(list, recording) != NULL && strstr(list, "by-hand-camera") != NULL);
    livereel_string_free(list);

    CALL(livereel_recording_rotate(engine, recording, &error));
    file = log_wait(log, LIVEREEL_EVENT_FILE_FINISHED, 1);
    CHECK(file.part == 1 && strcmp(file.recording_id, recording) == 0);
    CHECK(strstr(file.path, "by-hand-camera_1.mp4") != NULL && strcmp(file.reason, "rotation_requested") == 0);

    CALL(livereel_recording_pause(engine, recording, 0, &error));
    wait_until_listed(engine, "\"paused\":true");
    CALL(livereel_recording_resume(engine, recording, &error));
    wait_until_listed(engine, "\"paused\":false");

    CALL(livereel_recording_stop(engine, recording, 60000, &error));
    file = log_wait(log, LIVEREEL_EVENT_FILE_FINISHED, 2);
    CHECK(file.part == 2 && strcmp(file.reason, "stopped") == 0);
    log_wait(log, LIVEREEL_EVENT_RECORDING_FINISHED, 1);
    livereel_string_free(recording);

    /* One more of the same session, and an end by terminating it; its id is not wanted. */
    CALL(livereel_recording_start(engine, session.media_session_id, NULL, NULL, &error));
    log_wait(log, LIVEREEL_EVENT_RECORDING_STARTED, 2);
    CALL(livereel_session_terminate(engine, session.media_session_id, &error));
    log_wait(log, LIVEREEL_EVENT_SESSION_ENDED, 1);
    publisher_end(publisher);
    livereel_engine_free(engine);
    log_wait_drops(log, 1);
    livereel_config_free(config);
    log_free(log);
}

int main(void) {
    RUN(a_publish_is_told_from_listening_to_the_finished_file);
    RUN(every_subscription_gets_every_event_and_ends_by_itself);
    RUN(a_recording_is_started_rotated_paused_resumed_and_stopped);
    return 0;
}
