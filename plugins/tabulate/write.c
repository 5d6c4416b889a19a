/* Writing: one function for each format. */
#include "table.h"

#include <stdint.h>
#include <string.h>

/* Decodes one character of UTF-8 and says how many bytes it has; U+FFFD and one byte where it is malformed. */
static uint32_t decode(const char *text, size_t length, size_t *bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    *bytes = 1;
    if (n == 0 || n > length)
        return 0xfffd;
    uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0xfffd;
    *bytes = n;
    return c;
}

/* Columns that a character takes in a terminal: 0 for combining marks, 2 for East Asian wide ones and emoji. */
static size_t width_of(uint32_t c)
{
    if ((c >= 0x300 && c < 0x370) || (c >= 0x200b && c <= 0x200f) || (c >= 0x20d0 && c < 0x2100)
        || (c >= 0xfe00 && c < 0xfe10) || (c >= 0xfe20 && c < 0xfe30))
        return 0;
    if ((c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0x303f) || (c >= 0x3041 && c < 0xa4d0)
        || (c >= 0xac00 && c < 0xd7a4) || (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70)
        || (c >= 0xff00 && c < 0xff61) || (c >= 0xffe0 && c < 0xffe7) || (c >= 0x1f300 && c < 0x1f650)
        || (c >= 0x1f680 && c < 0x1f700) || (c >= 0x1f900 && c < 0x1fa00) || (c >= 0x20000 && c < 0x3fffe))
        return 2;
    return 1;
}

/* Writes a cell as one printable line and returns its width; with `out` NULL it only measures. */
static size_t put_line(struct cell cell, bool markdown, FILE *out)
{
    size_t width = 0, bytes;
    for (size_t i = 0; i < cell.length; i += bytes) {
        uint32_t c = decode(cell.text + i, cell.length - i, &bytes);
        const char *instead = NULL;
        if (c == '\n' && markdown)
            instead = "<br>";
        else if (c == '\n' || c == '\r' || c == '\t')
            instead = " ";
        else if (c == '|' && markdown)
            instead = "\\|";
        else if (c == 0xfffd || c < 0x20 || (c >= 0x7f && c < 0xa0))
            instead = "\xef\xbf\xbd";
        if (instead != NULL) {
            width += instead[0] == '\xef' ? 1 : strlen(instead);
            if (out != NULL)
                fputs(instead, out);
        } else {
            width += width_of(c);
            if (out != NULL)
                fwrite(cell.text + i, 1, bytes, out);
        }
    }
    return width;
}

static void repeat(char c, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        putc(c, out);
}

/* A column is numeric when it has a number and nothing that is neither number nor empty. */
static bool numeric(const struct table *table, size_t column)
{
    bool any = false;
    for (size_t r = 1; r < table->rows; r++) {
        struct cell cell = *cell_at(table, r, column);
        if (is_number(cell, NULL))
            any = true;
        else if (cell.length != 0)
            return false;
    }
    return any;
}

static void write_aligned(const struct table *table, bool markdown, FILE *out)
{
    size_t *widths = resize(NULL, table->columns, sizeof *widths);
    bool *right = resize(NULL, table->columns, sizeof *right);
    for (size_t c = 0; c < table->columns; c++) {
        right[c] = numeric(table, c);
        widths[c] = markdown ? 3 : 1;
        for (size_t r = 0; r < table->rows; r++) {
            size_t width = put_line(*cell_at(table, r, c), markdown, NULL);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t r = 0; r < table->rows; r++) {
        /* Outside Markdown a row ends with its last cell that is not empty: no blanks at the ends of lines. */
        size_t end = table->columns;
        while (!markdown && end > 0 && cell_at(table, r, end - 1)->length == 0)
            end--;
        for (size_t c = 0; c < end; c++) {
            struct cell cell = *cell_at(table, r, c);
            size_t pad = widths[c] - put_line(cell, markdown, NULL);
            fputs(markdown ? (c == 0 ? "| " : " | ") : (c == 0 ? "" : "  "), out);
            if (right[c])
                repeat(' ', pad, out);
            put_line(cell, markdown, out);
            if (!right[c] && (markdown || c + 1 < end))
                repeat(' ', pad, out);
        }
        fputs(markdown ? " |\n" : "\n", out);
        if (r != 0)
            continue;
        for (size_t c = 0; c < table->columns; c++) {
            fputs(markdown ? (c == 0 ? "| " : " | ") : (c == 0 ? "" : "  "), out);
            repeat('-', widths[c] - (markdown && right[c]), out);
            if (markdown && right[c])
                putc(':', out);
        }
        fputs(markdown ? " |\n" : "\n", out);
    }
}

static void put_json_string(struct cell cell, FILE *out)
{
    size_t bytes;
    putc('"', out);
    for (size_t i = 0; i < cell.length; i += bytes) {
        uint32_t c = decode(cell.text + i, cell.length - i, &bytes);
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (int)c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\r')
            fputs("\\r", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", (unsigned)c);
        else if (c == 0xfffd)
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(cell.text + i, 1, bytes, out);
    }
    putc('"', out);
}

static void write_json(const struct table *table, FILE *out)
{
    fputs("[", out);
    for (size_t r = 1; r < table->rows; r++) {
        fputs(r == 1 ? "\n  {" : ",\n  {", out);
        for (size_t c = 0; c < table->columns; c++) {
            struct cell cell = *cell_at(table, r, c);
            fputs(c == 0 ? "" : ", ", out);
            put_json_string(*cell_at(table, 0, c), out);
            fputs(": ", out);
            if (is_number(cell, NULL))
                fwrite(cell.text, 1, cell.length, out);
            else
                put_json_string(cell, out);
        }
        fputs("}", out);
    }
    fputs(table->rows > 1 ? "\n]\n" : "]\n", out);
}

static void write_separated(const struct table *table, char delimiter, FILE *out)
{
    for (size_t r = 0; r < table->rows; r++) {
        for (size_t c = 0; c < table->columns; c++) {
            struct cell cell = *cell_at(table, r, c);
            if (c != 0)
                putc(delimiter, out);
            bool quote = false;
            for (size_t i = 0; i < cell.length; i++)
                quote = quote || cell.text[i] == delimiter || cell.text[i] == '"' || cell.text[i] == '\n'
                        || cell.text[i] == '\r';
            if (!quote) {
                fwrite(cell.text, 1, cell.length, out);
                continue;
            }
            putc('"', out);
            for (size_t i = 0; i < cell.length; i++) {
                if (cell.text[i] == '"')
                    putc('"', out);
                putc(cell.text[i], out);
            }
            putc('"', out);
        }
        putc('\n', out);
    }
}

void write_table(const struct table *table, enum format format, FILE *out)
{
    if (table->columns == 0) {
        fputs(format == JSON ? "[]\n" : "", out);
        return;
    }
    switch (format) {
    case TABLE:
    case MARKDOWN:
        write_aligned(table, format == MARKDOWN, out);
        break;
    case JSON:
        write_json(table, out);
        break;
    case CSV:
    case TSV:
        write_separated(table, format == CSV ? ',' : '\t', out);
        break;
    }
}
