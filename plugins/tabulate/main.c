/* tabulate: separated values to an aligned table, Markdown, JSON, CSV or TSV. */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tabulate [OPTION]... [FILE]...\n"
    "Reads separated values (RFC 4180) from the files, or from standard input, and writes them as a table.\n"
    "\n"
    "  -t, --to FORMAT      table (default), markdown, json, csv or tsv\n"
    "  -d, --delimiter C    what separates the fields; \"tab\" is a tab. Default: the likeliest of , ; tab |\n"
    "  -n, --no-header      the first row is data\n"
    "  -c, --columns LIST   only these columns, by name or number, in this order\n"
    "  -s, --sort COLUMN    sort the rows: numbers by value and before text\n"
    "  -r, --reverse        sort downwards\n"
    "      --stats          statistics for each column in place of the rows\n"
    "  -o, --output FILE    write there instead of standard output\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit code: 0 done, 1 a file or its content is at fault, 2 the arguments are.\n";

struct options {
    enum format format;
    char delimiter;
    bool no_header, reverse, stats;
    const char *columns, *sort, *output;
};

_Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("tabulate: ", stderr);
    vfprintf(stderr, format, args);
    putc('\n', stderr);
    va_end(args);
    exit(1);
}

static _Noreturn void misuse(const char *message, const char *what)
{
    fprintf(stderr, "tabulate: %s%s\n%s", message, what, usage);
    exit(2);
}

static enum format format_named(const char *name)
{
    static const char *const names[] = { "table", "markdown", "json", "csv", "tsv" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum format)i;
    misuse("unknown format ", name);
}

static char delimiter_named(const char *name)
{
    if (strcmp(name, "tab") == 0 || strcmp(name, "\\t") == 0)
        return '\t';
    if (strlen(name) != 1 || *name == '"' || *name == '\n' || *name == '\r')
        misuse("a delimiter is one character, or \"tab\", not ", name);
    return *name;
}

/* Takes the options out of argv; returns how many files are left at its front. */
static int parse_arguments(int argc, char **argv, struct options *options)
{
    static const struct {
        const char *shorter, *longer;
        char key;
        bool value;
    } known[] = {
        { "-t", "--to", 't', true },       { "-d", "--delimiter", 'd', true }, { "-n", "--no-header", 'n', false },
        { "-c", "--columns", 'c', true },  { "-s", "--sort", 's', true },      { "-r", "--reverse", 'r', false },
        { "", "--stats", 'S', false },     { "-o", "--output", 'o', true },    { "-h", "--help", 'h', false },
    };
    int files = 0;
    bool only_files = false;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (only_files || arg[0] != '-' || arg[1] == '\0') {
            argv[files++] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_files = true;
            continue;
        }
        const char *value = NULL;
        size_t length = strcspn(arg, "=");
        char key = 0;
        for (size_t k = 0; k < sizeof known / sizeof *known && key == 0; k++) {
            bool is_long = strlen(known[k].longer) == length && strncmp(arg, known[k].longer, length) == 0;
            if (!is_long && strcmp(arg, known[k].shorter) != 0)
                continue;
            key = known[k].key;
            if (is_long && arg[length] == '=')
                value = arg + length + 1;
            else if (known[k].value && i + 1 < argc)
                value = argv[++i];
            if (known[k].value != (value != NULL))
                misuse(known[k].value ? "a value is missing: " : "takes no value: ", arg);
        }
        switch (key) {
        case 't': options->format = format_named(value); break;
        case 'd': options->delimiter = delimiter_named(value); break;
        case 'n': options->no_header = true; break;
        case 'c': options->columns = value; break;
        case 's': options->sort = value; break;
        case 'r': options->reverse = true; break;
        case 'S': options->stats = true; break;
        case 'o': options->output = value; break;
        case 'h': fputs(usage, stdout); exit(0);
        default: misuse("unknown option ", arg);
        }
    }
    return files;
}

static void read_file(struct table *table, const char *path, const struct options *options)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    FILE *file = standard ? stdin : fopen(path, "rb");
    if (file == NULL)
        fail("%s: %s", name, strerror(errno));
    size_t length;
    char *text = read_all(file, name, &length);
    char delimiter = options->delimiter ? options->delimiter : guess_delimiter(text, length);
    /* The table keeps pointing into the text: neither is freed before the end. */
    parse(table, text, length, delimiter, !options->no_header, name);
    if (!standard)
        fclose(file);
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct table table = { 0 };
    int files = parse_arguments(argc, argv, &options);
    for (int i = 0; i < files; i++)
        read_file(&table, argv[i], &options);
    if (files == 0)
        read_file(&table, "-", &options);
    square(&table, !options.no_header);
    if (options.sort != NULL)
        sort_rows(&table, options.sort, options.reverse);
    if (options.columns != NULL)
        select_columns(&table, options.columns);
    if (options.stats)
        summarise(&table);

    FILE *out = options.output != NULL ? fopen(options.output, "wb") : stdout;
    if (out == NULL)
        fail("%s: %s", options.output, strerror(errno));
    write_table(&table, options.format, out);
    if (fflush(out) != 0 || ferror(out) || (out != stdout && fclose(out) != 0))
        fail("%s: %s", options.output != NULL ? options.output : "standard output", strerror(errno));
    return 0;
}
