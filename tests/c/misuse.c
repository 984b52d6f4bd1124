/* Wrong arguments and calls out of turn: each is refused with its status, and nothing is done. */
#include "support.h"

#include <stdlib.h>

static const char BROKEN[] = {'a', (char)0xC3, (char)0x28, 0};

/* Stands for a place that must not be written to. */
static char untouched;

static void null_arguments_are_refused_and_outputs_stay_untouched(void) {
    livereel_config *config = test_config();
    livereel_engine *engine = test_engine();
    char *text = &untouched;

    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_new(NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_set(NULL, "record_dir", "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_set(config, NULL, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_set(config, "record_dir", NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_load(NULL, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_load(config, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_new(NULL, &engine, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_new(config, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_start(NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_stop(NULL, -1, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_address(NULL, "rtmp", &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_address(engine, NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_address(engine, "rtmp", NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_on_event(NULL, log_event, NULL, NULL, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_on_event(engine, NULL, NULL, NULL, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_off_event(NULL, 1, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_sessions_json(NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_sessions_json(engine, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_recordings_json(NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_recordings_json(engine, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_recover(NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_session_terminate(NULL, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_session_terminate(engine, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_start(NULL, "x", NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_start(engine, NULL, NULL, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_rotate(NULL, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_rotate(engine, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_pause(NULL, "x", 0, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_pause(engine, NULL, 0, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_resume(NULL, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_resume(engine, NULL, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_stop(NULL, "x", 0, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_stop(engine, NULL, 0, &error));
    CHECK(text == &untouched);

    /* Without a place for the error the status is all there is. */
    CHECK(livereel_engine_start(NULL, NULL) == LIVEREEL_E_INVALID_ARGUMENT);
    CHECK(livereel_config_set(config, NULL, "x", NULL) == LIVEREEL_E_INVALID_ARGUMENT);

    livereel_engine_free(engine);
    livereel_config_free(config);
}

static void frees_and_error_readers_take_null(void) {
    livereel_config_free(NULL);
    livereel_engine_free(NULL);
    livereel_error_free(NULL);
    livereel_string_free(NULL);
    CHECK(livereel_error_status(NULL) == LIVEREEL_OK);
    CHECK(livereel_error_message(NULL) == NULL);
    CHECK(livereel_error_operation(NULL) == NULL);
    CHECK(livereel_error_may_retry(NULL) == 0);
}

static void text_that_is_not_utf8_is_refused_by_name(void) {
    livereel_config *config = test_config();
    livereel_engine *engine = test_engine();
    livereel_error *broken = NULL;
    char *text = &untouched;
    livereel_record_options options = LIVEREEL_RECORD_OPTIONS_INIT;

    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_set(config, BROKEN, "x", &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_load(config, BROKEN, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_engine_address(engine, BROKEN, &text, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_session_terminate(engine, BROKEN, &error));
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_rotate(engine, BROKEN, &error));
    options.file_template = BROKEN;
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_start(engine, "x", &options, &text, &error));
    CHECK(text == &untouched);

    CHECK(livereel_config_set(config, "record_dir", BROKEN, &broken) == LIVEREEL_E_INVALID_ARGUMENT);
    CHECK(strcmp(livereel_error_message(broken),
                 "cannot set a setting: value is not UTF-8 (valid_up_to_bytes: 1)") == 0);
    CHECK(strcmp(livereel_error_operation(broken), "set a setting") == 0);
    CHECK(livereel_error_may_retry(broken) == 0);
    livereel_error_free(broken);

    livereel_engine_free(engine);
    livereel_config_free(config);
}

static void wrong_settings_are_refused_by_name_all_at_once(void) {
    livereel_config *config = test_config();
    livereel_engine *engine = NULL;
    livereel_error *wrong = NULL;
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_config_set(config, "no_such_key", "x", &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_config_load(config, "/nonexistent/livereel.toml", &error));
    CALL(livereel_config_set(config, "record_rotation", "sometimes", &error));
    CALL(livereel_config_set(config, "record_threads", "none", &error));
    CHECK(livereel_engine_new(config, &engine, &wrong) == LIVEREEL_E_INVALID_CONFIG);
    CHECK(engine == NULL);
    CHECK(strstr(livereel_error_message(wrong), "record_rotation") != NULL);
    CHECK(strstr(livereel_error_message(wrong), "record_threads") != NULL);
    livereel_error_free(wrong);
    livereel_config_free(config);
}

static void settings_load_from_a_file(void) {
    livereel_config *config = test_config();
    livereel_engine *engine = NULL;
    char path[512];
    FILE *file;
    snprintf(path, sizeof path, "%s/livereel.toml", test_folder());
    file = fopen(path, "w");
    CHECK(file != NULL);
    fputs("record_rotation = \"10s\"\nrecord_threads = 1\n", file);
    fclose(file);
    CALL(livereel_config_load(config, path, &error));
    CALL(livereel_engine_new(config, &engine, &error));
    livereel_engine_free(engine);
    livereel_config_free(config);
}

static void struct_sizes_of_older_and_newer_hosts_are_checked(void) {
    livereel_engine *engine = test_engine();
    struct {
        livereel_record_options options;
        char later[32];
    } newer = {LIVEREEL_RECORD_OPTIONS_INIT, {0}};
    CALL(livereel_engine_start(engine, &error));

    newer.options.struct_size = 0;
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_start(engine, "x", &newer.options, NULL, &error));
    newer.options.struct_size = sizeof newer.options - 1;
    REFUSED(LIVEREEL_E_INVALID_ARGUMENT, livereel_recording_start(engine, "x", &newer.options, NULL, &error));
    /* Well-formed: it is the session that is not found. */
    newer.options.struct_size = sizeof newer.options;
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_start(engine, "x", &newer.options, NULL, &error));
    newer.options.struct_size = sizeof newer;
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_start(engine, "x", &newer.options, NULL, &error));
    newer.later[31] = 1;
    REFUSED(LIVEREEL_E_UNSUPPORTED, livereel_recording_start(engine, "x", &newer.options, NULL, &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_start(engine, "x", NULL, NULL, &error));

    livereel_engine_free(engine);
}

static void calls_out_of_turn_are_refused(void) {
    livereel_engine *engine = test_engine();
    char *text = NULL;
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_engine_address(engine, "rtmp", &text, &error));
    CALL(livereel_engine_recover(engine, &text, &error));
    CHECK(strcmp(text, "[]") == 0);
    livereel_string_free(text);
    CALL(livereel_engine_recover(engine, NULL, &error));

    CALL(livereel_engine_start(engine, &error));
    REFUSED(LIVEREEL_E_INVALID_STATE, livereel_engine_start(engine, &error));
    CALL(livereel_engine_address(engine, "rtmp", &text, &error));
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0 && strcmp(text, "127.0.0.1:0") != 0);
    livereel_string_free(text);
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_engine_address(engine, "carrier pigeon", &text, &error));
    CALL(livereel_engine_sessions_json(engine, &text, &error));
    CHECK(strcmp(text, "[]") == 0);
    livereel_string_free(text);
    CALL(livereel_engine_recordings_json(engine, &text, &error));
    CHECK(strcmp(text, "[]") == 0);
    livereel_string_free(text);
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_session_terminate(engine, "x", &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_rotate(engine, "x", &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_pause(engine, "x", 1, &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_resume(engine, "x", &error));
    REFUSED(LIVEREEL_E_NOT_FOUND, livereel_recording_stop(engine, "x", 1, &error));
    CALL(livereel_engine_off_event(engine, 12345, &error));

    CALL(livereel_engine_stop(engine, -1, &error));
    CALL(livereel_engine_stop(engine, 0, &error));
    CALL(livereel_engine_stop(engine, INT64_MAX, &error));
    REFUSED(LIVEREEL_E_INVALID_STATE, livereel_engine_start(engine, &error));
    livereel_engine_free(engine);
}

static void a_stop_before_the_start_is_fine(void) {
    livereel_engine *engine = test_engine();
    CALL(livereel_engine_stop(engine, -1, &error));
    livereel_engine_free(engine);
}

static void a_taken_port_is_told_and_the_start_may_be_tried_again(void) {
    livereel_engine *first = test_engine();
    livereel_config *config = test_config();
    livereel_engine *second = NULL;
    livereel_error *taken = NULL;
    char *address = NULL;
    CALL(livereel_engine_start(first, &error));
    CALL(livereel_engine_address(first, "rtmp", &address, &error));
    CALL(livereel_config_set(config, "rtmp_listen", address, &error));
    CALL(livereel_engine_new(config, &second, &error));
    CHECK(livereel_engine_start(second, &taken) < 0);
    CHECK(strstr(livereel_error_message(taken), address) != NULL);
    livereel_error_free(taken);
    livereel_engine_free(first);
    CALL(livereel_engine_start(second, &error));
    livereel_engine_free(second);
    livereel_string_free(address);
    livereel_config_free(config);
}

static void the_version_and_the_names_of_statuses_are_told(void) {
    CHECK(strchr(livereel_version(), '.') != NULL);
    CHECK(strcmp(livereel_status_name(LIVEREEL_E_FORKED), "forked") == 0);
    CHECK(strcmp(livereel_status_name(-1000), "unknown") == 0);
}

int main(void) {
    RUN(null_arguments_are_refused_and_outputs_stay_untouched);
    RUN(frees_and_error_readers_take_null);
    RUN(text_that_is_not_utf8_is_refused_by_name);
    RUN(wrong_settings_are_refused_by_name_all_at_once);
    RUN(settings_load_from_a_file);
    RUN(struct_sizes_of_older_and_newer_hosts_are_checked);
    RUN(calls_out_of_turn_are_refused);
    RUN(a_stop_before_the_start_is_fine);
    RUN(a_taken_port_is_told_and_the_start_may_be_tried_again);
    RUN(the_version_and_the_names_of_statuses_are_told);
    return 0;
}
