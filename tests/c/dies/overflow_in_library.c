/* Must die under ASan: options that are shorter than they say are read past their end by the library,
 * so the library is built with ASan as well. */
#include <livereel.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    livereel_config *config = NULL;
    livereel_engine *engine = NULL;
    livereel_record_options *options = malloc(sizeof *options);
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options + 64;
    if (livereel_config_new(&config, NULL) != LIVEREEL_OK ||
        livereel_engine_new(config, &engine, NULL) != LIVEREEL_OK) {
        return 1;
    }
    livereel_recording_start(engine, "x", options, NULL, NULL);
    return 0;
}
