/* Must die under ASan: the test programs are built with it. */
#include <livereel.h>
#include <stdlib.h>

int main(void) {
    volatile char *bytes = malloc(8);
    bytes[8] = *livereel_version();
    return 0;
}
