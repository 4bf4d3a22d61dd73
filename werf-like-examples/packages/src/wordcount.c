/* Counts the words on standard input. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    long words = 0;
    int inside = 0, character;
    while ((character = getchar()) != EOF) {
        int space = isspace(character);
        words += inside == 0 && !space;
        inside = !space;
    }
    printf("%ld\n", words);
    return 0;
}
