/* SPDX-License-Identifier: MIT */
/* What Linux writes into its five files, and what it should not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cpu.h"
#include "disk.h"
#include "load.h"
#include "memory.h"
#include "net.h"

static struct text text_of(const char *string) {
        return (struct text){string, strlen(string)};
}

static void assert_near(double value, double expected) {
        assert_true(value > expected - 0.001 && value < expected + 0.001);
}

/* ---- stat ---- */

static void test_cpu_counts_processors_and_ticks(void **state) {
        struct cpu cpu;

        (void)state;
        assert_int_equal(cpu_parse(text_of("cpu  10 20 30 40 50 60 70 80 90 100\n"
                                           "cpu0 5 10 15 20 25 30 35 40 45 50\n"
                                           "cpu3 5 10 15 20 25 30 35 40 45 50\n"
                                           "intr 1 2 3\nctxt 99\nbtime 1\n"),
                                   &cpu),
                         0);
        assert_int_equal(cpu.cpus, 2);
        assert_int_equal(cpu.user, 10);
        assert_int_equal(cpu.nice, 20);
        assert_int_equal(cpu.system, 30);
        assert_int_equal(cpu.idle, 40);
        assert_int_equal(cpu.iowait, 50);
        assert_int_equal(cpu.irq, 60);
        assert_int_equal(cpu.softirq, 70);
        assert_int_equal(cpu.steal, 80);
}

static void test_cpu_of_an_old_kernel_has_fewer_columns(void **state) {
        struct cpu cpu;

        (void)state;
        assert_int_equal(cpu_parse(text_of("cpu 1 2 3 4"), &cpu), 0);
        assert_int_equal(cpu.idle, 4);
        assert_int_equal(cpu.steal, 0);
        assert_int_equal(cpu.cpus, 0);
}

static void test_cpu_without_its_line_is_refused(void **state) {
        static const char *const bad[] = {"",
                                          "\n\n",
                                          "intr 1 2 3\n",
                                          "cpu 1 2 3\n",
                                          "cpu a b c d\n",
                                          "cpu0 1 2 3 4\n",
                                          "cpu -1 2 3 4 5\n",
                                          "cpu 99999999999999999999 1 1 1\n"};
        struct cpu cpu;

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(cpu_parse(text_of(bad[i]), &cpu), -EBADMSG);
}

static void test_cpu_busy_is_the_share_of_what_passed(void **state) {
        struct cpu before = {.user = 100, .idle = 1000, .iowait = 50};
        struct cpu now = {.user = 120, .system = 5, .idle = 1070, .iowait = 55};

        (void)state;
        assert_near(cpu_busy_percent(&before, &now), 25);
        assert_near(cpu_busy_percent(&now, &now), 0);
        assert_near(cpu_busy_percent(&now, &before), 0); /* backwards: no number below 0 */
        now.iowait = 40;
        assert_near(cpu_busy_percent(&before, &now), 100.0 * 25 / 95);
}

/* ---- meminfo ---- */

static void test_memory_is_told_in_bytes(void **state) {
        struct memory memory;

        (void)state;
        assert_int_equal(memory_parse(text_of("MemTotal:       16384 kB\nMemFree:         1024 kB\n"
                                              "MemAvailable:    8192 kB\nBuffers:            1 kB\n"
                                              "Cached:             2 kB\nSwapCached:         9 kB\n"
                                              "SwapTotal:          4 kB\nSwapFree:           3 kB\n"
                                              "HugePages_Total:       0\n"),
                                      &memory),
                         0);
        assert_int_equal(memory.total, 16384 * 1024);
        assert_int_equal(memory.free, 1024 * 1024);
        assert_int_equal(memory.available, 8192 * 1024);
        assert_int_equal(memory.buffers, 1024);
        assert_int_equal(memory.cached, 2048);
        assert_int_equal(memory.swap_total, 4096);
        assert_int_equal(memory.swap_free, 3072);
}

static void test_memory_available_is_estimated_where_it_is_not_told(void **state) {
        struct memory memory;

        (void)state;
        assert_int_equal(
                memory_parse(text_of("MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\n"), &memory), 0);
        assert_int_equal(memory.available, 60 * 1024);
        assert_int_equal(
                memory_parse(text_of("MemTotal: 100 kB\nMemFree: 80 kB\nBuffers: 80 kB\nCached: 30 kB\n"), &memory), 0);
        assert_int_equal(memory.available, 100 * 1024);
}

static void test_memory_lines_that_make_no_sense_are_left_out(void **state) {
        struct memory memory;

        (void)state;
        assert_int_equal(memory_parse(text_of("MemTotal: 100 kB\nMemFree: lots\nCached: 5 MB\nBuffers:\n"
                                              "SwapFree: 18446744073709551615 kB\nMemAvailable: 7 kB"),
                                      &memory),
                         0);
        assert_int_equal(memory.free, 0);
        assert_int_equal(memory.cached, 0);
        assert_int_equal(memory.buffers, 0);
        assert_int_equal(memory.swap_free, 0);
        assert_int_equal(memory.available, 7 * 1024);
        assert_int_equal(memory_parse(text_of("MemFree: 1 kB\n"), &memory), -EBADMSG);
        assert_int_equal(memory_parse(text_of("MemTotal: many kB\n"), &memory), -EBADMSG);
        assert_int_equal(memory_parse(text_of(""), &memory), -EBADMSG);
}

/* ---- loadavg ---- */

static void test_load_has_three_averages_and_the_threads(void **state) {
        struct load load;

        (void)state;
        assert_int_equal(load_parse(text_of("0.25 1.50 10.00 3/456 78901\n"), &load), 0);
        assert_near(load.one, 0.25);
        assert_near(load.five, 1.5);
        assert_near(load.fifteen, 10);
        assert_int_equal(load.running, 3);
        assert_int_equal(load.threads, 456);
}

static void test_load_without_threads_still_stands(void **state) {
        static const char *const odd[] = {"0.25 1.50 10.00", "0.25 1.50 10.00 x", "0.25 1.50 10.00 3/",
                                          "0.25 1.50 10.00 /3", "0.25 1.50 10.00 1/4294967296"};
        struct load load;

        (void)state;
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                assert_int_equal(load_parse(text_of(odd[i]), &load), 0);
                assert_near(load.fifteen, 10);
                assert_int_equal(load.threads, 0);
        }
}

static void test_load_without_averages_is_refused(void **state) {
        static const char *const bad[] = {"", "\n", "0.25", "0.25 1.50", "a b c", "0.25 1.50 nan 1/2"};
        struct load load;

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(load_parse(text_of(bad[i]), &load), -EBADMSG);
}

/* ---- net/dev ---- */

#define NET_HEAD                                                                                                       \
        "Inter-|   Receive                                                |  Transmit\n"                               \
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

static void test_net_columns_of_both_directions(void **state) {
        struct net list[4];

        (void)state;
        assert_int_equal(net_parse(text_of(NET_HEAD "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                                    "eth0.7:100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n"),
                                   list, 4),
                         2);
        assert_string_equal(list[0].name, "lo");
        assert_int_equal(list[0].received_bytes, 1);
        assert_int_equal(list[0].received_packets, 2);
        assert_int_equal(list[0].received_errors, 3);
        assert_int_equal(list[0].received_dropped, 4);
        assert_int_equal(list[0].sent_bytes, 9);
        assert_int_equal(list[0].sent_packets, 10);
        assert_int_equal(list[0].sent_errors, 11);
        assert_int_equal(list[0].sent_dropped, 12);
        assert_string_equal(list[1].name, "eth0.7");
        assert_int_equal(list[1].received_bytes, 100);
        assert_ptr_equal(net_find(list, 2, "eth0.7"), &list[1]);
        assert_null(net_find(list, 2, "eth0"));
}

static void test_net_odd_lines_are_left_out(void **state) {
        struct net list[4];

        (void)state;
        assert_int_equal(
                net_parse(text_of(NET_HEAD
                                  "  bad: 1 2 3\n: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                  "  bad: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x\n"
                                  "a-name-that-no-interface-can-have-at-all: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                  "\n:\ngood: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\nlast: 1 2"),
                          list, 4),
                1);
        assert_string_equal(list[0].name, "good");
        assert_int_equal(net_parse(text_of(""), list, 4), 0);
}

static void test_net_more_interfaces_than_room_are_counted(void **state) {
        struct net list[1];

        (void)state;
        assert_int_equal(net_parse(text_of("a: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
                                           "b: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
                                   list, 1),
                         2);
        assert_string_equal(list[0].name, "a");
}

/* ---- diskstats ---- */

static void test_disk_counts_in_sectors_of_512_bytes(void **state) {
        struct disk list[4];

        (void)state;
        assert_int_equal(disk_parse(text_of("   8       0 sda 10 1 20 3 30 4 40 5 6 70 80\n"
                                            " 259       1 nvme0n1p1 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"),
                                    list, 4),
                         2);
        assert_string_equal(list[0].name, "sda");
        assert_int_equal(list[0].reads, 10);
        assert_int_equal(list[0].read_bytes, 20 * 512);
        assert_int_equal(list[0].writes, 30);
        assert_int_equal(list[0].written_bytes, 40 * 512);
        assert_int_equal(list[0].in_flight, 6);
        assert_int_equal(list[0].busy_ms, 70);
        assert_string_equal(list[1].name, "nvme0n1p1");
        assert_ptr_equal(disk_find(list, 2, "nvme0n1p1"), &list[1]);
        assert_null(disk_find(list, 2, "sdb"));
}

static void test_disk_never_used_or_odd_is_left_out(void **state) {
        struct disk list[4];

        (void)state;
        assert_int_equal(
                disk_parse(text_of("7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n8 0 sda\n8 0\n\n8 x sda 1 1 1 1 1 1 1 1 1 1 1\n"
                                   "8 1 old 1 2 3 4\n8 2 huge 1 1 99999999999999999999 1 1 1 1 1 1 1 1\n"
                                   "8 3 wide 1 1 18446744073709551615 1 1 1 1 1 1 1 1\n"
                                   "8 4 sdb 1 1 1 1 0 0 0 0 0 1 1\n"),
                           list, 4),
                1);
        assert_string_equal(list[0].name, "sdb");
        assert_int_equal(disk_parse(text_of(""), list, 4), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cpu_counts_processors_and_ticks),
                cmocka_unit_test(test_cpu_of_an_old_kernel_has_fewer_columns),
                cmocka_unit_test(test_cpu_without_its_line_is_refused),
                cmocka_unit_test(test_cpu_busy_is_the_share_of_what_passed),
                cmocka_unit_test(test_memory_is_told_in_bytes),
                cmocka_unit_test(test_memory_available_is_estimated_where_it_is_not_told),
                cmocka_unit_test(test_memory_lines_that_make_no_sense_are_left_out),
                cmocka_unit_test(test_load_has_three_averages_and_the_threads),
                cmocka_unit_test(test_load_without_threads_still_stands),
                cmocka_unit_test(test_load_without_averages_is_refused),
                cmocka_unit_test(test_net_columns_of_both_directions),
                cmocka_unit_test(test_net_odd_lines_are_left_out),
                cmocka_unit_test(test_net_more_interfaces_than_room_are_counted),
                cmocka_unit_test(test_disk_counts_in_sectors_of_512_bytes),
                cmocka_unit_test(test_disk_never_used_or_odd_is_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
