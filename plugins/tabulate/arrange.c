/* Arranging: columns, order, statistics. */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool is_number(struct cell cell, double *value)
{
    /* JSON's grammar, so that what is right-aligned here is what is unquoted there. */
    const char *s = cell.text;
    size_t i = 0, n = cell.length;
    if (n > 300)
        return false;
    if (i < n && s[i] == '-')
        i++;
    size_t digits = i;
    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    if (i == digits || (s[digits] == '0' && i - digits > 1))
        return false;
    if (i < n && s[i] == '.') {
        size_t fraction = ++i;
        while (i < n && s[i] >= '0' && s[i] <= '9')
            i++;
        if (i == fraction)
            return false;
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < n && (s[i] == '+' || s[i] == '-'))
            i++;
        size_t exponent = i;
        while (i < n && s[i] >= '0' && s[i] <= '9')
            i++;
        if (i == exponent)
            return false;
    }
    if (i != n)
        return false;
    if (value != NULL) {
        char copy[304];
        memcpy(copy, s, n);
        copy[n] = '\0';
        *value = strtod(copy, NULL);
    }
    return true;
}

/* The column that `name` names, or whose number, from 1, it is. */
static size_t find_column(const struct table *table, const char *name, size_t length)
{
    for (size_t c = 0; c < table->columns; c++) {
        struct cell *head = cell_at(table, 0, c);
        if (head->length == length && memcmp(head->text, name, length) == 0)
            return c;
    }
    size_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9' || number > 100000000)
            goto unknown;
        number = number * 10 + (size_t)(name[i] - '0');
    }
    if (number >= 1 && number <= table->columns)
        return number - 1;
unknown:
    fail("no column \"%.*s\" (there are %zu, the first is \"%.*s\")", (int)length, name, table->columns,
         table->columns ? (int)cell_at(table, 0, 0)->length : 0, table->columns ? cell_at(table, 0, 0)->text : "");
}

void select_columns(struct table *table, const char *list)
{
    size_t *chosen = NULL, count = 0;
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        chosen = resize(chosen, count + 1, sizeof *chosen);
        chosen[count++] = find_column(table, at, length);
        at += length;
        if (*at == '\0')
            break;
    }
    if (table->rows > (size_t)-1 / count)
        fail("the table is too large");
    struct cell *kept = resize(NULL, table->rows * count, sizeof *kept);
    for (size_t r = 0; r < table->rows; r++)
        for (size_t c = 0; c < count; c++)
            kept[r * count + c] = *cell_at(table, r, chosen[c]);
    free(table->cells);
    free(chosen);
    table->cells = kept;
    table->columns = count;
}

/* qsort() has no context argument in C. */
static const struct table *sorted;
static size_t sort_column;
static int sort_sign;

static int compare_rows(const void *left, const void *right)
{
    size_t l = *(const size_t *)left, r = *(const size_t *)right;
    struct cell a = *cell_at(sorted, l, sort_column), b = *cell_at(sorted, r, sort_column);
    double x = 0, y = 0;
    bool a_number = is_number(a, &x), b_number = is_number(b, &y);
    int order;
    if (a_number && b_number) {
        order = (x > y) - (x < y);
    } else if (a_number != b_number) {
        order = a_number ? -1 : 1;
    } else {
        size_t shorter = a.length < b.length ? a.length : b.length;
        order = shorter ? memcmp(a.text, b.text, shorter) : 0;
        if (order == 0)
            order = (a.length > b.length) - (a.length < b.length);
    }
    if (order != 0)
        return order > 0 ? sort_sign : -sort_sign;
    return (l > r) - (l < r);
}

void sort_rows(struct table *table, const char *column, bool reverse)
{
    if (table->columns == 0)
        return;
    sorted = table;
    sort_column = find_column(table, column, strlen(column));
    sort_sign = reverse ? -1 : 1;
    size_t *order = resize(NULL, table->rows, sizeof *order);
    for (size_t r = 0; r < table->rows; r++)
        order[r] = r;
    qsort(order + 1, table->rows - 1, sizeof *order, compare_rows);
    struct cell *arranged = resize(NULL, table->rows * table->columns, sizeof *arranged);
    for (size_t r = 0; r < table->rows; r++)
        memcpy(arranged + r * table->columns, cell_at(table, order[r], 0), table->columns * sizeof *arranged);
    free(table->cells);
    free(order);
    table->cells = arranged;
}

/* A cell that owns its text, or an empty one where `known` is false. */
static struct cell number_cell(bool known, double value)
{
    char text[40];
    if (!known)
        return (struct cell){ "", 0 };
    int n = snprintf(text, sizeof text, "%.10g", value);
    return (struct cell){ memcpy(resize(NULL, (size_t)n, 1), text, (size_t)n), (size_t)n };
}

void summarise(struct table *table)
{
    static const char *const heads[] = { "column", "cells", "empty", "numbers", "min", "mean", "max", "sum" };
    enum { HEADS = sizeof heads / sizeof *heads };
    struct cell *made = resize(NULL, (table->columns + 1) * HEADS, sizeof *made);
    for (size_t h = 0; h < HEADS; h++)
        made[h] = (struct cell){ heads[h], strlen(heads[h]) };
    for (size_t c = 0; c < table->columns; c++) {
        size_t empty = 0, numbers = 0;
        double least = 0, most = 0, sum = 0, value = 0;
        for (size_t r = 1; r < table->rows; r++) {
            struct cell cell = *cell_at(table, r, c);
            empty += cell.length == 0;
            if (!is_number(cell, &value))
                continue;
            least = numbers == 0 || value < least ? value : least;
            most = numbers == 0 || value > most ? value : most;
            sum += value;
            numbers++;
        }
        struct cell *row = made + (c + 1) * HEADS;
        row[0] = *cell_at(table, 0, c);
        row[1] = number_cell(true, (double)(table->rows - 1));
        row[2] = number_cell(true, (double)empty);
        row[3] = number_cell(true, (double)numbers);
        row[4] = number_cell(numbers > 0, least);
        row[5] = number_cell(numbers > 0, numbers > 0 ? sum / (double)numbers : 0);
        row[6] = number_cell(numbers > 0, most);
        row[7] = number_cell(numbers > 0, sum);
    }
    free(table->cells);
    *table = (struct table){ made, table->columns + 1, HEADS };
}
