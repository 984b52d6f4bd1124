/* Callbacks that call back into the library, stop and free included. */
#include "support.h"

#include <stdlib.h>

/* What a callback of these tests needs. */
struct inside {
    livereel_engine *engine;
    struct event_log *log;
    uint64_t subscription;
    unsigned calls;
    bool rotated;
    struct latch done;
};

static void list_everything(livereel_engine *engine) {
    char *list = NULL;
    CALL(livereel_engine_sessions_json(engine, &list, &error));
    CHECK(list[0] == '[');
    livereel_string_free(list);
    CALL(livereel_engine_recordings_json(engine, &list, &error));
    CHECK(list[0] == '[');
    livereel_string_free(list);
    CALL(livereel_engine_address(engine, "rtmp", &list, &error));
    livereel_string_free(list);
}

/* Commands the recording from within its events. */
static void command(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    if (event->type == LIVEREEL_EVENT_RECORDING_STARTED) {
        list_everything(inside->engine);
        CALL(livereel_recording_rotate(inside->engine, event->recording_id, &error));
    } else if (event->type == LIVEREEL_EVENT_FILE_FINISHED && !inside->rotated) {
        inside->rotated = true;
        list_everything(inside->engine);
        CALL(livereel_recording_pause(inside->engine, event->recording_id, 1, &error));
        CALL(livereel_recording_resume(inside->engine, event->recording_id, &error));
        CALL(livereel_recording_stop(inside->engine, event->recording_id, 0, &error));
    } else if (event->type == LIVEREEL_EVENT_RECORDING_FINISHED) {
        CALL(livereel_session_terminate(inside->engine, event->media_session_id, &error));
    }
    log_event(event, inside->log);
}

static void a_callback_commands_its_recording(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    pid_t publisher;
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, command, &inside, NULL, NULL, &error));
    CALL(livereel_engine_start(inside.engine, &error));
    publisher = publish(inside.engine, "camera", "100", true);
    log_wait(inside.log, LIVEREEL_EVENT_SESSION_ENDED, 1);
    CHECK(log_count(inside.log, LIVEREEL_EVENT_FILE_FINISHED) >= 2);
    publisher_end(publisher);
    livereel_engine_free(inside.engine);
    log_free(inside.log);
}

static void stop_at_the_start(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    if (event->type == LIVEREEL_EVENT_RECORDING_STARTED) {
        CALL(livereel_engine_stop(inside->engine, -1, &error));
        CALL(livereel_engine_stop(inside->engine, 0, &error));
    }
    log_event(event, inside->log);
}

static void a_stop_from_a_callback_begins_and_the_files_still_come(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    pid_t publisher;
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, stop_at_the_start, &inside, NULL, NULL, &error));
    CALL(livereel_engine_start(inside.engine, &error));
    publisher = publish(inside.engine, "camera", "100", true);
    log_wait(inside.log, LIVEREEL_EVENT_RECORDING_FINISHED, 1);
    CALL(livereel_engine_stop(inside.engine, -1, &error));
    publisher_end(publisher);
    livereel_engine_free(inside.engine);
    log_free(inside.log);
}

static void free_at_the_start(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    if (event->type == LIVEREEL_EVENT_RECORDING_STARTED) {
        livereel_engine_free(inside->engine);
        inside->engine = NULL;
    }
    log_event(event, inside->log);
}

static void drop_inside(void *user_data) {
    struct inside *inside = user_data;
    log_drop(inside->log);
    latch_open(&inside->done);
}

static void a_free_from_a_callback_returns_and_another_thread_ends_the_engine(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    pid_t publisher;
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, free_at_the_start, &inside, drop_inside, NULL, &error));
    CALL(livereel_engine_start(inside.engine, &error));
    publisher = publish(inside.engine, "camera", "100", true);
    latch_wait(&inside.done);
    publisher_end(publisher);
    CHECK(inside.engine == NULL);
    CHECK(log_count(inside.log, LIVEREEL_EVENT_RECORDING_FINISHED) == 1);
    CHECK(log_drops(inside.log) == 1);
    log_free(inside.log);
}

static void free_at_once(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    if (inside->calls++ == 0) {
        /* The opening thread may still be inside livereel_engine_start: let it leave first. */
        latch_wait(&inside->done);
        livereel_engine_free(inside->engine);
    }
    log_event(event, inside->log);
}

static void drop_log(void *user_data) {
    struct inside *inside = user_data;
    log_drop(inside->log);
}

static void a_free_from_the_first_callback_ends_an_idle_engine(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, free_at_once, &inside, drop_log, NULL, &error));
    CALL(livereel_engine_start(inside.engine, &error));
    latch_open(&inside.done);
    log_wait_drops(inside.log, 1);
    log_free(inside.log);
}

static void end_own_subscription(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    (void)event;
    inside->calls++;
    latch_wait(&inside->done);
    CALL(livereel_engine_off_event(inside->engine, inside->subscription, &error));
    CHECK(log_drops(inside->log) == 0);
}

static void a_callback_ends_its_own_subscription(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, end_own_subscription, &inside, drop_log, &inside.subscription,
                                  &error));
    CALL(livereel_engine_start(inside.engine, &error));
    latch_open(&inside.done);
    log_wait_drops(inside.log, 1);
    CALL(livereel_engine_stop(inside.engine, -1, &error));
    CHECK(inside.calls == 1 && log_drops(inside.log) == 1);
    livereel_engine_free(inside.engine);
    CHECK(log_drops(inside.log) == 1);
    log_free(inside.log);
}

static void subscribe_once_more(const livereel_event *event, void *user_data) {
    struct inside *inside = user_data;
    if (inside->calls++ == 0) {
        CALL(livereel_engine_on_event(inside->engine, log_event, inside->log, log_drop, NULL, &error));
    }
    (void)event;
}

static void a_callback_subscribes_another(void) {
    struct inside inside = {NULL, log_new(), 0, 0, false, LATCH_INIT};
    pid_t publisher;
    inside.engine = test_engine();
    CALL(livereel_engine_on_event(inside.engine, subscribe_once_more, &inside, NULL, NULL, &error));
    CALL(livereel_engine_start(inside.engine, &error));
    publisher = publish(inside.engine, "camera", "1", false);
    log_wait(inside.log, LIVEREEL_EVENT_RECORDING_FINISHED, 1);
    publisher_end(publisher);
    livereel_engine_free(inside.engine);
    log_wait_drops(inside.log, 1);
    log_free(inside.log);
}

int main(void) {
    RUN(a_callback_commands_its_recording);
    RUN(a_stop_from_a_callback_begins_and_the_files_still_come);
    RUN(a_free_from_a_callback_returns_and_another_thread_ends_the_engine);
    RUN(a_free_from_the_first_callback_ends_an_idle_engine);
    RUN(a_callback_ends_its_own_subscription);
    RUN(a_callback_subscribes_another);
    return 0;
}
