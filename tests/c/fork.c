/* A fork: the child answers FORKED and touches nothing of the parent's; the parent goes on. */
#define _XOPEN_SOURCE 700

#include "support.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child. */
static void use_the_parents_engine(livereel_engine *engine, struct event_log *log) {
    char *text = NULL;
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_start(engine, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_address(engine, "rtmp", &text, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_sessions_json(engine, &text, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_recordings_json(engine, &text, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_recover(engine, &text, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_engine_off_event(engine, 1, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_session_terminate(engine, "x", &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_recording_start(engine, "x", NULL, &text, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_recording_rotate(engine, "x", &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_recording_pause(engine, "x", 0, &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_recording_resume(engine, "x", &error));
    REFUSED(LIVEREEL_E_FORKED, livereel_recording_stop(engine, "x", 1, &error));
    CALL(livereel_engine_stop(engine, -1, &error));
    livereel_engine_free(engine);
    CHECK(log->drops == 0);
}

/* In the child too. */
static void use_an_own_engine(const livereel_config *config) {
    struct event_log *log = log_new();
    livereel_engine *engine = NULL;
    CALL(livereel_engine_new(config, &engine, &error));
    CALL(livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
    CALL(livereel_engine_start(engine, &error));
    log_wait(log, LIVEREEL_EVENT_LISTENING, 1);
    livereel_engine_free(engine);
    log_wait_drops(log, 1);
    log_free(log);
}

static void a_child_leaves_the_parents_recording_alone_and_may_have_its_own_engine(void) {
    struct event_log *log = log_new();
    livereel_config *config = test_config();
    livereel_engine *engine = NULL;
    pid_t publisher, child;
    int report[2];
    char word = 0;
    CALL(livereel_engine_new(config, &engine, &error));
    CALL(livereel_engine_on_event(engine, log_event, log, log_drop, NULL, &error));
    CALL(livereel_engine_start(engine, &error));
    publisher = publish(engine, "camera", "100", true);
    log_wait(log, LIVEREEL_EVENT_RECORDING_STARTED, 1);

    /* The child reports through a pipe: its exit code is valgrind's, which counts what the parent's
     * threads held as leaked in a process that does not have them. */
    CHECK(pipe(report) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        use_the_parents_engine(engine, log);
        use_an_own_engine(config);
        CHECK(write(report[1], "k", 1) == 1);
        _exit(0);
    }
    CHECK(child > 0);
    close(report[1]);
    CHECK(read(report[0], &word, 1) == 1 && word == 'k');
    close(report[0]);
    CHECK(waitpid(child, NULL, 0) == child);

    CHECK(log_count(log, LIVEREEL_EVENT_SESSION_ENDED) == 0);
    CALL(livereel_engine_stop(engine, -1, &error));
    log_wait(log, LIVEREEL_EVENT_FILE_FINISHED, 1);
    livereel_engine_free(engine);
    log_wait_drops(log, 1);
    CHECK(log_drops(log) == 1);
    publisher_end(publisher);
    livereel_config_free(config);
    log_free(log);
}

int main(void) {
    RUN(a_child_leaves_the_parents_recording_alone_and_may_have_its_own_engine);
    return 0;
}
