/* SPDX-License-Identifier: MIT */
/* hosttop: prints what hostmon publishes, one line a sample: a subscriber that unpacks protobuf payloads.
 *
 *   protoc-c --c_out=. hostmon.proto
 *   cc -o hosttop hosttop.c hostmon.pb-c.c $(pkg-config --cflags --libs ramal libprotobuf-c)
 */
#define _GNU_SOURCE /* getopt_long */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <ramal/ramal.h>

#include "hostmon.pb-c.h"

#define MIB (1024.0 * 1024.0)

/* A signal handler has no other way to find it. */
static ramal_conn *stop_conn;

static void on_signal(int number) {
        (void)number;
        ramal_stop(stop_conn, EX_OK);
}

struct hosttop {
        uint64_t wanted, printed; /* wanted 0: all that come */
        int result;
};

static void print_cpu(const void *message) {
        const Hostmon__V1__Cpu *cpu = message;

        printf("%5.1f %% busy of %" PRIu32 " processors", cpu->busy_percent, cpu->cpus);
}

static void print_memory(const void *message) {
        const Hostmon__V1__Memory *memory = message;

        printf("%.0f of %.0f MiB available", (double)memory->available_bytes / MIB, (double)memory->total_bytes / MIB);
}

static void print_load(const void *message) {
        const Hostmon__V1__Load *load = message;

        printf("%.2f %.2f %.2f, %" PRIu32 " of %" PRIu32 " threads run", load->one, load->five, load->fifteen,
               load->running, load->threads);
}

static void print_net(const void *message) {
        const Hostmon__V1__Net *net = message;

        printf("%.0f B/s in, %.0f B/s out", net->received_bytes_per_s, net->sent_bytes_per_s);
}

static void print_disk(const void *message) {
        const Hostmon__V1__Disk *disk = message;

        printf("%.0f B/s read, %.0f B/s written", disk->read_bytes_per_s, disk->written_bytes_per_s);
}

static const struct kind {
        const ProtobufCMessageDescriptor *descriptor;
        void (*print)(const void *message);
} kinds[] = {
        {&hostmon__v1__cpu__descriptor, print_cpu},   {&hostmon__v1__memory__descriptor, print_memory},
        {&hostmon__v1__load__descriptor, print_load}, {&hostmon__v1__net__descriptor, print_net},
        {&hostmon__v1__disk__descriptor, print_disk},
};

static const struct kind *kind_of(const char *type) {
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].descriptor->name, type) == 0)
                        return &kinds[i];
        return NULL;
}

/* What arrives is whatever somebody published: nothing of it is trusted. A subject has no control characters. */
static void on_sample(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct hosttop *self = user;
        size_t len;
        const void *data = ramal_msg_data(msg, &len);
        const struct kind *kind = kind_of(ramal_msg_type(msg));
        ProtobufCMessage *message = kind ? protobuf_c_message_unpack(kind->descriptor, NULL, len, data) : NULL;

        /* Behind ramal_stop() the callbacks of the messages that came with this one still run. */
        if (!message || (self->wanted > 0 && self->printed == self->wanted)) {
                protobuf_c_message_free_unpacked(message, NULL);
                return;
        }
        printf("%-32s ", ramal_msg_subject(msg));
        kind->print(message);
        putchar('\n');
        protobuf_c_message_free_unpacked(message, NULL);
        if (fflush(stdout) != 0) {
                self->result = EX_IOERR;
                ramal_stop(conn, EX_IOERR);
        }
        if (++self->printed == self->wanted)
                ramal_stop(conn, EX_OK);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        (void)conn, (void)user;
        fprintf(stderr, "hosttop: %" PRIu64 " samples missed (%s)\n", gap->count, ramal_why_name(gap->why));
}

static const char usage[] =
        "usage: hosttop [--address ADDRESS] [--token-file FILE] [--count N] [PATTERN]\n"
        "\n"
        "Prints the samples of hostmon that match PATTERN (host.>), one a line.\n"
        "\n"
        "  --address ADDRESS  where the broker is (default: RAMAL_ADDRESS, else the user's bus, else the system's)\n"
        "  --token-file FILE  the token that TCP needs\n"
        "  --count N          so many samples, then end\n"
        "  --help             this text\n";

static int read_count(const char *text, uint64_t *ret) {
        char *end;

        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (errno != 0 || *text < '0' || *text > '9' || *end || value == 0) {
                fprintf(stderr, "hosttop: --count: \"%s\" is no number above 0\n", text);
                return EX_USAGE;
        }
        *ret = value;
        return EX_OK;
}

static int read_options(int argc, char *argv[], ramal_options *options, struct hosttop *self) {
        static const struct option known[] = {
                {"address", required_argument, NULL, 'a'},
                {"token-file", required_argument, NULL, 't'},
                {"count", required_argument, NULL, 'n'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "h", known, NULL)) >= 0) {
                switch (option) {
                case 'a':
                        options->address = optarg;
                        break;
                case 't':
                        options->token_file = optarg;
                        break;
                case 'n':
                        if (read_count(optarg, &self->wanted) != EX_OK)
                                return EX_USAGE;
                        break;
                case 'h':
                        fputs(usage, stdout);
                        exit(fflush(stdout) == 0 ? EX_OK : EX_IOERR);
                default:
                        fputs(usage, stderr);
                        return EX_USAGE;
                }
        }
        if (argc - optind <= 1)
                return EX_OK;
        fputs("hosttop: one PATTERN at most, see --help\n", stderr);
        return EX_USAGE;
}

static int run(ramal_conn *conn, const char *pattern, struct hosttop *self) {
        ramal_sub *sub;
        ramal_error error;
        int r = ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = pattern, .on_gap = on_gap), on_sample, self, &sub);

        if (r < 0) {
                fprintf(stderr, "hosttop: %s: %s\n", pattern, ramal_conn_error(conn)->message);
                return r == -EINVAL ? EX_DATAERR : EX_SOFTWARE;
        }
        r = ramal_sub_confirm(sub, ramal_in_ms(5000), &error);
        if (r < 0 && r != -EINTR) {
                fprintf(stderr, "hosttop: %s\n", error.message);
                return EX_UNAVAILABLE;
        }
        r = ramal_run(conn);
        if (r >= 0)
                return self->result;
        fprintf(stderr, "hosttop: %s\n", ramal_conn_error(conn)->message);
        return EX_UNAVAILABLE;
}

int main(int argc, char *argv[]) {
        ramal_options options = {.size = sizeof(options), .app = "hosttop"};
        struct hosttop self = {0};
        ramal_conn *conn;
        ramal_error error;
        int status = read_options(argc, argv, &options, &self);

        if (status != EX_OK)
                return status;
        if (ramal_open(&options, ramal_in_ms(5000), &conn, &error) < 0) {
                fprintf(stderr, "hosttop: %s\n", error.message);
                return error.code == -EACCES || error.code == -EPERM ? EX_NOPERM : EX_UNAVAILABLE;
        }
        stop_conn = conn;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        status = run(conn, optind < argc ? argv[optind] : "host.>", &self);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        ramal_close(conn);
        return status;
}
