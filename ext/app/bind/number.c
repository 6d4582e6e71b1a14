/* Converts text to int, float and bool. The rules are pydantic's for strings in lax mode, so that a
 * parameter means the same whether C or pydantic reads it. Texts that are refused here are passed
 * to pydantic, so its rare forms, such as "00-1" for -1, need no code here.
 *
 * Pure functions. Thread: any, with the GIL.
 */
#include "base/py.h"

#include "app/bind/number.h"

enum {
    INT_DIGITS_MAX = 4300, /* as sys.set_int_max_str_digits by default */
    INT64_DIGITS = 18,     /* this many digits always fit into an int64_t */
    SMALL = 64,            /* bytes of text that are handled on the stack */
};

/* The length of the white space character (Unicode's White_Space) at the beginning of `text`,
 * 0 when there is none. */
static size_t
space_len(Slice text)
{
    const unsigned char *s = (const unsigned char *)text.ptr;
    if (text.len >= 1 && (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r'))) {
        return 1;
    }
    if (text.len >= 2 && s[0] == 0xc2 && (s[1] == 0x85 || s[1] == 0xa0)) {
        return 2;
    }
    if (text.len < 3) {
        return 0;
    }
    unsigned c = (unsigned)s[0] << 16 | (unsigned)s[1] << 8 | s[2];
    bool space = c == 0xe19a80                       /* U+1680 */
                 || (c >= 0xe28080 && c <= 0xe2808a) /* U+2000 to U+200A */
                 || c == 0xe280a8 || c == 0xe280a9   /* U+2028, U+2029 */
                 || c == 0xe280af || c == 0xe2819f   /* U+202F, U+205F */
                 || c == 0xe38080;                   /* U+3000 */
    return space ? 3 : 0;
}

static Slice
number_trim(Slice text)
{
    for (size_t n; (n = space_len(text)) > 0;) {
        text = slice_of(text.ptr + n, text.len - n);
    }
    for (size_t n = 1; n <= 3 && n <= text.len;) {
        if (space_len(slice_of(text.ptr + text.len - n, n)) == n) {
            text.len -= n;
            n = 1;
        } else {
            n++;
        }
    }
    return text;
}

/* `text` without ".0", ".00" … at its end. */
static Slice
number_strip_fraction(Slice text)
{
    const char *dot = memchr(text.ptr, '.', text.len);
    if (dot == NULL) {
        return text;
    }
    size_t whole = (size_t)(dot - text.ptr);
    for (size_t i = whole + 1; i < text.len; i++) {
        if (text.ptr[i] != '0') {
            return text;
        }
    }
    return whole + 1 == text.len ? text : slice_of(text.ptr, whole);
}

/* `text` without leading zeros and the underscores between them. At least one character remains. */
static Slice
number_strip_zeros(Slice text)
{
    if (text.len == 0 || text.ptr[0] != '0') {
        return text;
    }
    size_t n = 1;
    while (n < text.len && (text.ptr[n] == '0' || text.ptr[n] == '_')) {
        n++;
    }
    if (n == text.len || !ascii_is_digit(text.ptr[n])) {
        n--;
    }
    return slice_of(text.ptr + n, text.len - n);
}

/* Copies the digits of `text` to `out` and adds a NUL. A single underscore between two digits is left out.
 * Returns the number of digits; 0 when `text` has another form or too many digits. */
static size_t
digits_copy(Slice text, char out[INT_DIGITS_MAX + 1])
{
    size_t n = 0;
    bool after_digit = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (ascii_is_digit(c) && n < INT_DIGITS_MAX) {
            out[n++] = c;
        } else if (c != '_' || !after_digit) {
            return 0;
        }
        after_digit = ascii_is_digit(c);
    }
    out[n] = '\0';
    return after_digit ? n : 0;
}

/* An int with more than INT64_DIGITS digits. digits[-1] must be writable, for the sign. NULL
 * without an exception when Python refuses that many digits. */
static PyObject *
big_int(char *digits, bool negative)
{
    if (negative) {
        *--digits = '-';
    }
    PyObject *value = PyLong_FromString(digits, NULL, 10);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear(); /* sys.set_int_max_str_digits() has set a limit below ours */
    }
    return value;
}

PyObject *
number_int(Slice text)
{
    char space[INT_DIGITS_MAX + 2];
    char *digits = space + 1;
    text = number_strip_fraction(number_trim(text));
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (negative || (text.len > 0 && text.ptr[0] == '+')) {
        text = slice_of(text.ptr + 1, text.len - 1);
    }
    size_t n = digits_copy(number_strip_zeros(text), digits);
    if (n == 0) {
        return NULL;
    }
    if (n > INT64_DIGITS) {
        return big_int(digits, negative);
    }
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value * 10 + (digits[i] - '0');
    }
    return PyLong_FromLongLong(negative ? -value : value);
}

/* Copies `text` to `out` without underscores and adds a NUL. False when underscores are doubled or
 * at either end, or when `text` has a NUL. */
static bool
number_strip_underscores(Slice text, char *out)
{
    size_t n = 0;
    char before = '_';
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '_' && before == '_') {
            return false;
        }
        if (c != '_') {
            out[n++] = c;
        }
        before = c;
    }
    out[n] = '\0';
    return before != '_' && memchr(out, '\0', n) == NULL;
}

/* The value of the NUL-terminated `text`; NULL without an exception when it is no float. */
static PyObject *
float_parse(const char *text)
{
    char *end;
    double value = PyOS_string_to_double(text, &end, NULL); /* overflow: inf */
    if (value == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear(); /* the caller reports a text that is no number */
        }
        return NULL;
    }
    return *end == '\0' ? PyFloat_FromDouble(value) : NULL;
}

PyObject *
number_float(Slice text)
{
    char small[SMALL];
    Slice trimmed = number_trim(text);
    if (trimmed.len != text.len && memchr(text.ptr, '_', text.len) != NULL) {
        return NULL; /* pydantic allows white space or underscores, not both */
    }
    text = trimmed;
    char *copy = text.len < SMALL ? small : PyMem_Malloc(text.len + 1);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *value = number_strip_underscores(text, copy) ? float_parse(copy) : NULL;
    if (copy != small) {
        PyMem_Free(copy);
    }
    return value;
}

PyObject *
number_bool(Slice text)
{
    static const struct {
        Slice name;
        bool value;
    } words[] = {
        {{"1", 1}, true},      {{"0", 1}, false},  {{"true", 4}, true},
        {{"false", 5}, false}, {{"on", 2}, true},  {{"off", 3}, false},
        {{"yes", 3}, true},    {{"no", 2}, false}, {{"t", 1}, true},
        {{"f", 1}, false},     {{"y", 1}, true},   {{"n", 1}, false},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_eq_nocase(text, words[i].name)) {
            return PyBool_FromLong(words[i].value);
        }
    }
    return NULL;
}
