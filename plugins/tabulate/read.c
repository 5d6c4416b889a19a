/* Reading: files into memory, text into rows. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rows while they are being read: each knows its own length. */
struct row {
    size_t first, count;
};

static struct cell *cells;
static size_t cell_count, cell_room;
static struct row *rows;
static size_t row_count, row_room;

void *resize(void *old, size_t count, size_t size)
{
    if (size != 0 && count > (size_t)-1 / size)
        fail("the table is too large");
    size_t bytes = count * size;
    void *grown = realloc(old, bytes > 0 ? bytes : 1);
    if (grown == NULL)
        fail("out of memory (%zu bytes wanted)", bytes);
    return grown;
}

char *read_all(FILE *file, const char *name, size_t *length)
{
    size_t used = 0, room = 64 * 1024;
    char *text = resize(NULL, room, 1);
    for (;;) {
        used += fread(text + used, 1, room - used, file);
        if (ferror(file))
            fail("%s: %s", name, strerror(errno));
        if (feof(file))
            break;
        if (used == room) {
            if (room > (size_t)-1 / 2)
                fail("%s: too large", name);
            room *= 2;
            text = resize(text, room, 1);
        }
    }
    *length = used;
    return text;
}

char guess_delimiter(const char *text, size_t length)
{
    static const char candidates[] = ",;\t|";
    size_t counts[sizeof candidates - 1] = { 0 };
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        if (quoted)
            continue;
        if (text[i] == '\n')
            break;
        const char *found = text[i] != '\0' ? strchr(candidates, text[i]) : NULL;
        if (found != NULL)
            counts[found - candidates]++;
    }
    size_t best = 0;
    for (size_t i = 1; i < sizeof candidates - 1; i++)
        if (counts[i] > counts[best])
            best = i;
    return candidates[best];
}

static void add_cell(const char *text, size_t length)
{
    if (cell_count == cell_room) {
        cell_room = cell_room ? cell_room * 2 : 1024;
        cells = resize(cells, cell_room, sizeof *cells);
    }
    cells[cell_count++] = (struct cell){ text, length };
}

static void add_row(size_t first)
{
    if (row_count == row_room) {
        row_room = row_room ? row_room * 2 : 256;
        rows = resize(rows, row_room, sizeof *rows);
    }
    rows[row_count++] = (struct row){ first, cell_count - first };
}

/* Reads the quoted field that starts at `at`, unquoting it in place; returns the place behind its closing quote. */
static size_t quoted_field(char *text, size_t length, size_t at, size_t line, const char *name)
{
    size_t start = at + 1, write = start;
    for (size_t i = start; i < length; i++) {
        if (text[i] != '"') {
            text[write++] = text[i];
        } else if (i + 1 < length && text[i + 1] == '"') {
            text[write++] = '"';
            i++;
        } else {
            add_cell(text + start, write - start);
            return i + 1;
        }
    }
    fail("%s: line %zu: a quoted field does not end", name, line);
}

void parse(struct table *table, char *text, size_t length, char delimiter, bool header, const char *name)
{
    (void)table;
    bool drop_first = header && row_count > 0;
    size_t i = 0, line = 1;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        i = 3;
    while (i < length) {
        size_t first = cell_count, row_line = line;
        for (;;) {
            if (i < length && text[i] == '"') {
                size_t end = quoted_field(text, length, i, line, name);
                for (; i < end; i++)
                    line += text[i] == '\n';
                if (i < length && text[i] == '\r' && (i + 1 == length || text[i + 1] == '\n'))
                    i++;
                if (i < length && text[i] != delimiter && text[i] != '\n')
                    fail("%s: line %zu: text behind a closing quote", name, line);
            } else {
                size_t start = i;
                while (i < length && text[i] != delimiter && text[i] != '\n')
                    i++;
                size_t end = i;
                if ((i == length || text[i] == '\n') && end > start && text[end - 1] == '\r')
                    end--;
                add_cell(text + start, end - start);
            }
            if (i < length && text[i] == delimiter) {
                i++;
                continue;
            }
            break;
        }
        i++;
        line++;
        /* A line without a byte is no row: files end with one, and people separate blocks with them. */
        if (cell_count - first == 1 && cells[first].length == 0 && line == row_line + 1)
            cell_count = first;
        else if (drop_first)
            cell_count = first, drop_first = false;
        else
            add_row(first);
    }
}

void square(struct table *table, bool header)
{
    size_t columns = 0;
    for (size_t r = 0; r < row_count; r++)
        if (rows[r].count > columns)
            columns = rows[r].count;
    size_t extra = header && row_count > 0 ? 0 : 1;
    table->rows = row_count + extra;
    table->columns = columns;
    if (columns != 0 && table->rows > (size_t)-1 / columns)
        fail("the table is too large");
    table->cells = resize(NULL, table->rows * columns, sizeof *table->cells);
    for (size_t r = 0; r < table->rows; r++)
        for (size_t c = 0; c < columns; c++) {
            struct cell cell = { "", 0 };
            if (r >= extra && c < rows[r - extra].count)
                cell = cells[rows[r - extra].first + c];
            /* Only a column that has no name gets one: an empty header cell below a title may be meant. */
            if (r == 0 && (extra != 0 || c >= rows[0].count)) {
                char *made = resize(NULL, 32, 1);
                int n = snprintf(made, 32, "column%zu", c + 1);
                cell = (struct cell){ made, (size_t)n };
            }
            *cell_at(table, r, c) = cell;
        }
    free(cells);
    free(rows);
}
