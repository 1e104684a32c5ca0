/* A price book that is taken keeps within its bounds. */
#include "model/price_book.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_tok toks[PRICE_BOOK_TOKENS];
    static struct price_book b;
    const char *why = NULL;
    char text[MONEY_TEXT_MAX];
    money m = 0, again = 0;
    hsm_err err = price_book_parse(bytes_of(data, size), toks, &b, &why);
    if (err != HSM_OK) {
        HSM_ASSERT(err == HSM_E_BAD_PARAMETER && why != NULL && strlen(why) > 20);
        return 0;
    }
    HSM_ASSERT(b.hour >= 0 && b.hour <= PRICE_MAX && b.month_hours > 0);
    HSM_ASSERT(b.key_n <= PRICE_BOOK_KEYS_MAX && b.note_n <= PRICE_BOOK_NOTES_MAX);
    HSM_ASSERT(strlen(b.currency) == 3 && strlen(b.name) > 0);
    for (size_t i = 0; i < b.key_n; i++)
        HSM_ASSERT(b.key[i].type[0] != '\0' && b.key[i].month <= PRICE_MAX);
    (void)price_book_key(&b, bytes_str("RSA-2048"), &m);
    money_format(b.hour, text);
    HSM_ASSERT(money_parse(bytes_str(text), &again) == HSM_OK && again == b.hour);
    HSM_ASSERT(money_times(b.hour, 0, 1) == 0 && money_times(b.hour, 1, 1) == b.hour);
    return 0;
}
