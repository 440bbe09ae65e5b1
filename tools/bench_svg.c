/* SPDX-License-Identifier: MIT */
#include "bench_svg.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench_report.h"

enum { WIDTH = 760, HEIGHT = 420, LEFT = 84, RIGHT = 24, TOP = 64, BOTTOM = 62 };

/* A text in the document. */
static void escaped(FILE *out, const char *text) {
        for (; *text; text++) {
                if (*text == '<')
                        fputs("&lt;", out);
                else if (*text == '>')
                        fputs("&gt;", out);
                else if (*text == '&')
                        fputs("&amp;", out);
                else if ((unsigned char)*text >= ' ')
                        putc(*text, out);
        }
}

/* The colours are chosen by what the reader's page has; the four lines differ in dashes, too. */
static void head(FILE *out, size_t count) {
        fprintf(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" width=\"%d\" height=\"%zu\" "
                "font-family=\"sans-serif\" font-size=\"13\">\n"
                "<style>\n"
                ".paper{fill:#ffffff}.ink{fill:#1b1f24}.soft{fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}\n"
                ".frame{stroke:#57606a;stroke-width:1;fill:none}.line{fill:none;stroke-width:2}.dot{stroke:none}\n"
                ".s0{stroke:#0550ae}.s1{stroke:#bc4c00;stroke-dasharray:7 4}.s2{stroke:#1a7f37;stroke-dasharray:2 3}"
                ".s3{stroke:#8250df;stroke-dasharray:9 3 2 3}\n"
                ".f0{fill:#0550ae}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}\n"
                "@media (prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9198a1}"
                ".grid{stroke:#30363d}.frame{stroke:#9198a1}\n"
                ".s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}"
                ".f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}}\n"
                "</style>\n<rect class=\"paper\" width=\"100%%\" height=\"100%%\"/>\n",
                WIDTH, count * HEIGHT, WIDTH, count * HEIGHT);
}

/* ---- axes ---- */

struct axis {
        double low, high; /* logarithms to the base 10 */
        double from, to;  /* where these are drawn */
};

static double place(const struct axis *axis, double value) {
        return axis->from + (log10(value) - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* step: the axis ends at whole multiples of it. */
static struct axis axis_of(const struct bench_chart *chart, bool y, double step, double from, double to) {
        struct axis axis = {INFINITY, -INFINITY, from, to};
        for (size_t l = 0; l < chart->count; l++)
                for (size_t i = 0; i < chart->lines[l].count; i++) {
                        double value = y ? chart->lines[l].y[i] : chart->lines[l].x[i];
                        if (!(value > 0))
                                continue;
                        axis.low = fmin(axis.low, log10(value));
                        axis.high = fmax(axis.high, log10(value));
                }
        if (!(axis.low <= axis.high))
                axis.low = axis.high = 0;
        if (step > 0) {
                axis.low = floor(axis.low / step + 1e-9) * step;
                axis.high = ceil(axis.high / step - 1e-9) * step;
        }
        if (axis.high - axis.low < 1e-6) {
                axis.low -= 0.5;
                axis.high += 0.5;
        }
        return axis;
}

static void number_text(char *text, size_t size, double value) {
        if (value >= 1e9)
                snprintf(text, size, "%g G", value / 1e9);
        else if (value >= 1e6)
                snprintf(text, size, "%g M", value / 1e6);
        else if (value >= 1e3)
                snprintf(text, size, "%g k", value / 1e3);
        else
                snprintf(text, size, "%g", value);
}

static void time_text(char *text, size_t size, double ns) {
        if (ns >= 1e9)
                snprintf(text, size, "%g s", ns / 1e9);
        else if (ns >= 1e6)
                snprintf(text, size, "%g ms", ns / 1e6);
        else if (ns >= 1e3)
                snprintf(text, size, "%g \xc2\xb5s", ns / 1e3);
        else
                snprintf(text, size, "%g ns", ns);
}

static void bytes_text(char *text, size_t size, double bytes) {
        if (bytes >= 1 << 20)
                snprintf(text, size, "%g MiB", bytes / (1 << 20));
        else if (bytes >= 1 << 10)
                snprintf(text, size, "%g KiB", bytes / (1 << 10));
        else
                snprintf(text, size, "%g B", bytes);
}

static void tick_x(FILE *out, double x, const char *text) {
        fprintf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, HEIGHT - BOTTOM);
        fprintf(out, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x,
                HEIGHT - BOTTOM + 18, text);
}

static void draw_y(FILE *out, const struct bench_chart *chart, const struct axis *axis) {
        static const double steps[] = {1, 2, 5};
        bool fine = axis->high - axis->low < 2.5;
        for (double decade = floor(axis->low); decade <= axis->high; decade++)
                for (size_t i = 0; i < (fine ? 3 : 1); i++) {
                        double value = pow(10, decade) * steps[i], at = log10(value);
                        char text[32];
                        if (at < axis->low - 1e-9 || at > axis->high + 1e-9)
                                continue;
                        if (chart->times)
                                time_text(text, sizeof(text), value);
                        else
                                number_text(text, sizeof(text), value);
                        double y = place(axis, value);
                        fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                                WIDTH - RIGHT, y, y);
                        fprintf(out, "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                                LEFT - 8, y + 4, text);
                }
}

/* Ticks where the first line has its points; those that would touch the one before have no text. */
static void draw_x(FILE *out, const struct bench_chart *chart, const struct axis *axis) {
        double last = -INFINITY;
        if (chart->percentiles) {
                static const char *const names[] = {"0 %",     "90 %",     "99 %",     "99.9 %",
                                                    "99.99 %", "99.999 %", "99.9999 %"};
                for (size_t i = 0; i < sizeof(names) / sizeof(*names) && (double)i <= axis->high + 1e-9; i++)
                        tick_x(out, place(axis, pow(10, (double)i)), names[i]);
                if (axis->high > 0.31)
                        tick_x(out, place(axis, 2), "50 %");
                return;
        }
        for (size_t i = 0; chart->count > 0 && i < chart->lines[0].count; i++) {
                double value = chart->lines[0].x[i], x = value > 0 ? place(axis, value) : last;
                char text[32] = "";
                if (x - last >= 56) {
                        if (chart->bytes)
                                bytes_text(text, sizeof(text), value);
                        else
                                number_text(text, sizeof(text), value);
                        last = x;
                }
                if (value > 0)
                        tick_x(out, x, text);
        }
}

/* ---- lines ---- */

static void draw_line(FILE *out, const struct bench_chart *chart, size_t l, const struct axis *x,
                      const struct axis *y) {
        const struct bench_line *line = &chart->lines[l];
        bool first = true;
        fprintf(out, "<path class=\"line s%zu\" d=\"", l);
        for (size_t i = 0; i < line->count; i++)
                if (line->x[i] > 0 && line->y[i] > 0) {
                        fprintf(out, "%s%.1f %.1f", first ? "M" : " L", place(x, line->x[i]), place(y, line->y[i]));
                        first = false;
                }
        /* A path without a point is not a path. */
        fputs(first ? "M0 0\"/>\n" : "\"/>\n", out);
        for (size_t i = 0; !chart->percentiles && i < line->count; i++)
                if (line->x[i] > 0 && line->y[i] > 0)
                        fprintf(out, "<circle class=\"dot f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", l,
                                place(x, line->x[i]), place(y, line->y[i]));
}

static void draw_names(FILE *out, const struct bench_chart *chart) {
        for (size_t l = 0; l < chart->count; l++) {
                int x = LEFT + (int)l * 160;
                fprintf(out, "<line class=\"line s%zu\" x1=\"%d\" x2=\"%d\" y1=\"48\" y2=\"48\"/>", l, x, x + 26);
                fprintf(out, "<text class=\"ink\" x=\"%d\" y=\"52\">", x + 32);
                escaped(out, chart->lines[l].name);
                fputs("</text>\n", out);
        }
}

static void draw_chart(FILE *out, const struct bench_chart *chart, size_t number) {
        struct axis x = axis_of(chart, false, 0, LEFT, WIDTH - RIGHT);
        struct axis y = axis_of(chart, true, 0.5, HEIGHT - BOTTOM, TOP);
        fprintf(out, "<g transform=\"translate(0 %zu)\">\n<text class=\"ink\" x=\"%d\" y=\"28\" font-size=\"16\">",
                number * HEIGHT, LEFT);
        escaped(out, chart->title);
        fputs("</text>\n", out);
        draw_y(out, chart, &y);
        draw_x(out, chart, &x);
        fprintf(out, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT, TOP,
                WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        fprintf(out, "<text class=\"ink\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
                HEIGHT - 18);
        escaped(out, chart->x_label);
        fprintf(out,
                "</text>\n<text class=\"ink\" x=\"20\" y=\"%d\" text-anchor=\"middle\" "
                "transform=\"rotate(-90 20 %d)\">",
                (TOP + HEIGHT - BOTTOM) / 2, (TOP + HEIGHT - BOTTOM) / 2);
        escaped(out, chart->y_label);
        fputs("</text>\n", out);
        for (size_t l = 0; l < chart->count; l++)
                draw_line(out, chart, l, &x, &y);
        draw_names(out, chart);
        fputs("</g>\n", out);
}

int bench_svg_charts(FILE *out, const struct bench_chart *charts, size_t count) {
        head(out, count);
        for (size_t i = 0; i < count; i++)
                draw_chart(out, &charts[i], i);
        fputs("</svg>\n", out);
        if (fflush(out) == 0 && !ferror(out))
                return 0;
        return errno ? -errno : -EIO;
}
