/* Must die: a build with debug assertions finds a handle of another type. */
#include <livereel.h>

int main(void) {
    livereel_error *error = NULL;
    livereel_config_new(NULL, &error);
    livereel_config_set((livereel_config *)(void *)error, "record_dir", "x", NULL);
    return 0;
}
