/* What the C tests share: checks, an event log with deadlines, a publisher, a temporary folder. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <livereel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* A failed check ends the program; run.sh counts it. */
#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            check_failed(__FILE__, __LINE__, #condition);                                                  \
        }                                                                                                  \
    } while (0)

/* A call that must succeed: `CALL(livereel_engine_start(engine, &error))`. */
#define CALL(expression)                                                                                   \
    do {                                                                                                   \
        livereel_error *error = NULL;                                                                      \
        int32_t call_status = (expression);                                                                \
        if (call_status != LIVEREEL_OK) {                                                                  \
            check_failed(__FILE__, __LINE__, livereel_error_message(error));                               \
        }                                                                                                  \
        CHECK(error == NULL);                                                                              \
    } while (0)

/* A call that must fail with this status, and with an error that says the same. */
#define REFUSED(status, expression)                                                                        \
    do {                                                                                                   \
        livereel_error *error = NULL;                                                                      \
        int32_t call_status = (expression);                                                                \
        if (call_status != (status)) {                                                                     \
            fprintf(stderr, "answered %s: %s\n", livereel_status_name(call_status),                        \
                    error ? livereel_error_message(error) : "(no error)");                                 \
            check_failed(__FILE__, __LINE__, #expression " is not refused with " #status);                 \
        }                                                                                                  \
        CHECK(error != NULL);                                                                              \
        CHECK(livereel_error_status(error) == (status));                                                   \
        livereel_error_free(error);                                                                        \
    } while (0)

void check_failed(const char *file, int line, const char *what);

/* Runs one test and prints its line. */
#define RUN(test) run_test(#test, test)
void run_test(const char *name, void (*test)(void));

/* A copy of what a test wants to know of an event. */
struct seen {
    int32_t type;
    uint64_t seq;
    uint64_t size_bytes;
    int64_t duration_ms;
    uint32_t part;
    char media_session_id[64];
    char recording_id[64];
    char stream_name[64];
    char reason[64];
    char path[1024];
};

/* Every event so far. A test waits on it instead of sleeping. */
struct event_log {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct seen *events;
    size_t count;
    unsigned drops;
};

struct event_log *log_new(void);
void log_free(struct event_log *log);
/* The callback and the drop function: user_data is the log. */
void log_event(const livereel_event *event, void *user_data);
void log_drop(void *user_data);
/* The n-th event of a type, from 1; the test fails where it does not come in time. */
struct seen log_wait(struct event_log *log, int32_t type, unsigned nth);
size_t log_count(struct event_log *log, int32_t type);
void log_wait_drops(struct event_log *log, unsigned drops);
unsigned log_drops(struct event_log *log);

/* A latch: opened once, waited for with the same deadline. */
struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
};
#define LATCH_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false}
void latch_open(struct latch *latch);
void latch_wait(struct latch *latch);
bool latch_is_open(struct latch *latch);

/* A folder of the test's own; removed at its end. */
const char *test_folder(void);

/* Settings for recording into the test's folder, and an engine with them. */
livereel_config *test_config(void);
livereel_engine *test_engine(void);

/* ffmpeg, publishing a test picture and a tone to the engine; in real time where `live`. */
pid_t publish(const livereel_engine *engine, const char *stream, const char *seconds, bool live);
/* Waits for its end; a publisher that was cut off is no failure. */
void publisher_end(pid_t pid);

#endif
