/* A table of byte strings, how it is read, and how it is written. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* One cell. Its bytes belong to the table's text and are not terminated. */
struct cell {
    const char *text;
    size_t length;
};

/* Rows of `columns` cells each, in one array; row 0 is the header. */
struct table {
    struct cell *cells;
    size_t rows, columns;
};

/* How the output looks. */
enum format { TABLE, MARKDOWN, JSON, CSV, TSV };

/* ends the program with "tabulate: ..." and exit code 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* realloc() that ends the program when there is no memory, or when count * size overflows. */
void *resize(void *old, size_t count, size_t size);

/* read.c */

/* All bytes of the file, with the length. The name is for messages. */
char *read_all(FILE *file, const char *name, size_t *length);
/* The likeliest of , ; tab | by the first line. */
char guess_delimiter(const char *text, size_t length);
/* Appends the rows of RFC 4180 text to the table; rows may differ in length until square() is called. The first row is dropped
   when the table already has rows and `header` says that each file starts with one. Unquotes in place. */
void parse(struct table *table, char *text, size_t length, char delimiter, bool header, const char *name);
/* Fills short rows with empty cells and names nameless columns, once all files are parsed. */
void square(struct table *table, bool header);

/* arrange.c */

/* Keeps the columns of a comma-separated list of names or numbers, in that order. */
void select_columns(struct table *table, const char *list);
/* Sorts the rows below the header by one column: numbers by value and before text. Keeps the order of equals. */
void sort_rows(struct table *table, const char *column, bool reverse);
/* Replaces the rows by one row of statistics for each column. */
void summarise(struct table *table);
/* Whether the cell is a number as JSON writes it; its value goes to `value` unless that is NULL. */
bool is_number(struct cell cell, double *value);

/* write.c */

void write_table(const struct table *table, enum format format, FILE *out);

static inline struct cell *cell_at(const struct table *table, size_t row, size_t column)
{
    return &table->cells[row * table->columns + column];
}

#endif
