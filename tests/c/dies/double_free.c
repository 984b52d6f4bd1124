/* Must die: a build with debug assertions finds settings that are freed twice. */
#include <livereel.h>

int main(void) {
    livereel_config *config = NULL;
    if (livereel_config_new(&config, NULL) != LIVEREEL_OK) {
        return 1;
    }
    livereel_config_free(config);
    livereel_config_free(config);
    return 0;
}
