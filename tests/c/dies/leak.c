/* Must die under LSan: an error is not freed. */
#include <livereel.h>

int main(void) {
    for (int round = 0; round < 3; round++) {
        livereel_error *error = NULL;
        livereel_config_new(NULL, &error);
    }
    return 0;
}
