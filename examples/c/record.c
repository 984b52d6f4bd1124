/*
 * Records whatever is published over RTMP, and tells of every finished file.
 *
 *   ./record RECORD_DIR RTMP_LISTEN [--files N]
 *   ./record /tmp/records 127.0.0.1:1935
 *   ffmpeg -re -i talk.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/talk
 *
 * Ends, all files finished, on SIGINT or SIGTERM, or after N finished files.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <livereel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A byte in this pipe ends the program: the signal handler and the callback both write one. */
static int ending[2];

static void end_program(int signal_number) {
    int saved = errno;
    ssize_t written = write(ending[1], "e", 1);
    (void)written;
    (void)signal_number;
    errno = saved;
}

struct counter {
    unsigned long files_wanted; /* 0: no end */
    unsigned long files;
};

/* Runs on the engine's notifier thread, one call at a time. */
static void on_event(const livereel_event *event, void *user_data) {
    struct counter *counter = user_data;
    if (event->type == LIVEREEL_EVENT_FILE_FINISHED) {
        printf("finished %s: %" PRIu64 " bytes, %" PRId64 " ms, %s + %s, because %s\n", event->path,
               event->size_bytes, event->duration_ms, event->video_codec ? event->video_codec : "no video",
               event->audio_codec ? event->audio_codec : "no audio", event->reason);
        counter->files++;
        if (counter->files == counter->files_wanted) {
            end_program(0);
        }
    } else {
        printf("%s\n", event->json);
    }
    fflush(stdout);
}

/* Prints and frees an error; tells whether there was one. */
static int failed(int32_t status, livereel_error **error) {
    if (status == LIVEREEL_OK) {
        return 0;
    }
    fprintf(stderr, "%s (%s)\n", livereel_error_message(*error), livereel_status_name(status));
    livereel_error_free(*error);
    *error = NULL;
    return 1;
}

int main(int argc, char **argv) {
    struct counter counter = {0, 0};
    livereel_config *config = NULL;
    livereel_engine *engine = NULL;
    livereel_error *error = NULL;
    char *address = NULL;
    char byte;
    struct sigaction action;
    int result = EXIT_FAILURE;

    if (argc == 5 && strcmp(argv[3], "--files") == 0) {
        counter.files_wanted = strtoul(argv[4], NULL, 10);
    } else if (argc != 3) {
        fprintf(stderr, "usage: %s RECORD_DIR RTMP_LISTEN [--files N]\n", argv[0]);
        return 2;
    }
    if (pipe(ending) != 0) {
        perror("pipe");
        return EXIT_FAILURE;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = end_program;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    if (failed(livereel_config_new(&config, &error), &error) ||
        failed(livereel_config_set(config, "record_dir", argv[1], &error), &error) ||
        failed(livereel_config_set(config, "rtmp_listen", argv[2], &error), &error) ||
        failed(livereel_engine_new(config, &engine, &error), &error) ||
        failed(livereel_engine_on_event(engine, on_event, &counter, NULL, NULL, &error), &error) ||
        failed(livereel_engine_start(engine, &error), &error) ||
        failed(livereel_engine_address(engine, "rtmp", &address, &error), &error)) {
        goto end;
    }
    printf("livereel %s records to %s; publish to rtmp://%s/live/NAME\n", livereel_version(), argv[1], address);
    fflush(stdout);

    while (read(ending[0], &byte, 1) < 0 && errno == EINTR) {
    }
    if (!failed(livereel_engine_stop(engine, -1, &error), &error)) {
        result = EXIT_SUCCESS;
    }

end:
    livereel_string_free(address);
    livereel_engine_free(engine);
    livereel_config_free(config);
    return result;
}
