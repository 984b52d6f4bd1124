/* Who lives how long: handles, callbacks, threads. */
#include "support.h"

#include <stdlib.h>

static void a_hundred_engines_come_and_go(void) {
    struct event_log *log = log_new();
    for (unsigned round = 1; round <= 100; round++) {
        livereel_engine *engine = test_engine();
        CALL(livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
        /* Every way to an end in turn: never started, started and freed, started, stopped and freed. */
        if (round % 3 != 0) {
            CALL(livereel_engine_start(engine, &error));
        }
        if (round % 3 == 1) {
            CALL(livereel_engine_stop(engine, -1, &error));
        }
        livereel_engine_free(engine);
        CHECK(log_drops(log) == round);
    }
    log_free(log);
}

/* Uses the handle from a callback while another thread may be inside its free. */
struct late {
    livereel_engine *engine;
    struct event_log *log;
    unsigned answered;
};

static void list_late(const livereel_event *event, void *user_data) {
    struct late *late = user_data;
    char *list = NULL;
    int32_t status = livereel_engine_sessions_json(late->engine, &list, NULL);
    CHECK(status == LIVEREEL_OK || status == LIVEREEL_E_INVALID_STATE);
    late->answered += status == LIVEREEL_OK;
    livereel_string_free(list);
    log_event(event, late->log);
}

static void drop_late(void *user_data) {
    struct late *late = user_data;
    log_drop(late->log);
}

static void callbacks_during_a_free_may_use_the_handle(void) {
    struct late late = {NULL, log_new(), 0};
    pid_t publisher;
    late.engine = test_engine();
    CALL(livereel_engine_on_event(late.engine, list_late, &late, drop_late, NULL, &error));
    CALL(livereel_engine_start(late.engine, &error));
    publisher = publish(late.engine, "camera", "100", true);
    log_wait(late.log, LIVEREEL_EVENT_RECORDING_STARTED, 1);
    livereel_engine_free(late.engine);
    /* The free alone finished the file, delivered its events and dropped the callback. */
    CHECK(log_drops(late.log) == 1);
    CHECK(log_count(late.log, LIVEREEL_EVENT_FILE_FINISHED) == 1);
    CHECK(log_count(late.log, LIVEREEL_EVENT_RECORDING_FINISHED) == 1);
    CHECK(late.answered >= 3);
    publisher_end(publisher);
    log_free(late.log);
}

struct caller {
    livereel_engine *engine;
    struct latch ready;
    struct latch end;
};

static void *call_all_the_time(void *argument) {
    struct caller *caller = argument;
    unsigned rounds = 0;
    while (!latch_is_open(&caller->end)) {
        char *text = NULL;
        uint64_t subscription = 0;
        struct event_log *log = log_new();
        CALL(livereel_engine_sessions_json(caller->engine, &text, &error));
        livereel_string_free(text);
        text = NULL;
        if (livereel_engine_address(caller->engine, "rtmp", &text, NULL) == LIVEREEL_OK) {
            livereel_string_free(text);
        }
        CALL(livereel_engine_on_event(caller->engine, log_event, log, log_drop, &subscription, &error));
        CALL(livereel_engine_off_event(caller->engine, subscription, &error));
        log_wait_drops(log, 1);
        CHECK(log_drops(log) == 1);
        log_free(log);
        if (++rounds == 3) {
            latch_open(&caller->ready);
        }
    }
    latch_open(&caller->ready);
    return NULL;
}

static void threads_share_a_handle_through_start_and_stop(void) {
    struct caller callers[3];
    pthread_t threads[3];
    livereel_engine *engine = test_engine();
    for (size_t index = 0; index < 3; index++) {
        struct caller fresh = {NULL, LATCH_INIT, LATCH_INIT};
        callers[index] = fresh;
        callers[index].engine = engine;
        CHECK(pthread_create(&threads[index], NULL, call_all_the_time, &callers[index]) == 0);
    }
    CALL(livereel_engine_start(engine, &error));
    for (size_t index = 0; index < 3; index++) {
        latch_wait(&callers[index].ready);
    }
    CALL(livereel_engine_stop(engine, -1, &error));
    for (size_t index = 0; index < 3; index++) {
        latch_open(&callers[index].end);
        pthread_join(threads[index], NULL);
    }
    livereel_engine_free(engine);
}

static void settings_may_be_freed_before_their_engines(void) {
    livereel_config *config = test_config();
    livereel_engine *first = NULL;
    livereel_engine *second = NULL;
    CALL(livereel_engine_new(config, &first, &error));
    CALL(livereel_engine_new(config, &second, &error));
    livereel_config_free(config);
    CALL(livereel_engine_start(first, &error));
    CALL(livereel_engine_start(second, &error));
    livereel_engine_free(second);
    livereel_engine_free(first);
}

int main(void) {
    RUN(a_hundred_engines_come_and_go);
    RUN(callbacks_during_a_free_may_use_the_handle);
    RUN(threads_share_a_handle_through_start_and_stop);
    RUN(settings_may_be_freed_before_their_engines);
    return 0;
}
