/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hostmon.pb-c.h"
#include "token.h"

#define SAMPLE_BYTES_MAX 1024u

/* ---- from readings to messages ---- */

static double seconds_between(const struct reading *before, const struct reading *now) {
        return before && now->now_ns > before->now_ns ? (double)(now->now_ns - before->now_ns) / 1e9 : 0;
}

/* A counter that went back was reset: that is no traffic. */
static double rate(uint64_t before, uint64_t now, double seconds) {
        return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

static uint64_t ms_of_ticks(uint64_t ticks) {
        static const uint64_t usual = 100;
        long hertz = sysconf(_SC_CLK_TCK);
        uint64_t per_second = hertz > 0 ? (uint64_t)hertz : usual;

        return ticks / per_second * 1000 + ticks % per_second * 1000 / per_second;
}

static void fill_cpu(Hostmon__V1__Cpu *ret, const struct reading *now, const struct reading *before) {
        const struct cpu *cpu = &now->cpu;

        hostmon__v1__cpu__init(ret);
        ret->time_us = now->time_us;
        ret->cpus = cpu->cpus;
        ret->busy_percent = before && before->has_cpu ? cpu_busy_percent(&before->cpu, cpu) : 0;
        ret->user_ms = ms_of_ticks(cpu->user + cpu->nice);
        ret->system_ms = ms_of_ticks(cpu->system + cpu->irq + cpu->softirq);
        ret->idle_ms = ms_of_ticks(cpu->idle);
        ret->iowait_ms = ms_of_ticks(cpu->iowait);
        ret->steal_ms = ms_of_ticks(cpu->steal);
}

static void fill_memory(Hostmon__V1__Memory *ret, const struct reading *now) {
        hostmon__v1__memory__init(ret);
        ret->time_us = now->time_us;
        ret->total_bytes = now->memory.total;
        ret->free_bytes = now->memory.free;
        ret->available_bytes = now->memory.available;
        ret->buffers_bytes = now->memory.buffers;
        ret->cached_bytes = now->memory.cached;
        ret->swap_total_bytes = now->memory.swap_total;
        ret->swap_free_bytes = now->memory.swap_free;
}

static void fill_load(Hostmon__V1__Load *ret, const struct reading *now) {
        hostmon__v1__load__init(ret);
        ret->time_us = now->time_us;
        ret->one = now->load.one;
        ret->five = now->load.five;
        ret->fifteen = now->load.fifteen;
        ret->running = now->load.running;
        ret->threads = now->load.threads;
}

/* The message points to the name in the reading. */
static void fill_net(Hostmon__V1__Net *ret, struct net *net, const struct reading *now, const struct reading *before) {
        double seconds = seconds_between(before, now);
        const struct net *old = before ? net_find(before->net, before->net_count, net->name) : NULL;

        hostmon__v1__net__init(ret);
        ret->time_us = now->time_us;
        ret->interface = net->name;
        ret->received_bytes = net->received_bytes;
        ret->received_packets = net->received_packets;
        ret->received_errors = net->received_errors;
        ret->received_dropped = net->received_dropped;
        ret->sent_bytes = net->sent_bytes;
        ret->sent_packets = net->sent_packets;
        ret->sent_errors = net->sent_errors;
        ret->sent_dropped = net->sent_dropped;
        if (old) {
                ret->received_bytes_per_s = rate(old->received_bytes, net->received_bytes, seconds);
                ret->sent_bytes_per_s = rate(old->sent_bytes, net->sent_bytes, seconds);
        }
}

static void fill_disk(Hostmon__V1__Disk *ret, struct disk *disk, const struct reading *now,
                      const struct reading *before) {
        double seconds = seconds_between(before, now);
        const struct disk *old = before ? disk_find(before->disk, before->disk_count, disk->name) : NULL;

        hostmon__v1__disk__init(ret);
        ret->time_us = now->time_us;
        ret->device = disk->name;
        ret->reads = disk->reads;
        ret->read_bytes = disk->read_bytes;
        ret->writes = disk->writes;
        ret->written_bytes = disk->written_bytes;
        ret->in_flight = disk->in_flight;
        ret->busy_ms = disk->busy_ms;
        if (old) {
                ret->read_bytes_per_s = rate(old->read_bytes, disk->read_bytes, seconds);
                ret->written_bytes_per_s = rate(old->written_bytes, disk->written_bytes, seconds);
        }
}

/* ---- publishing ---- */

/* Where the samples of one reading go, and how that went. */
struct batch {
        ramal_conn *conn;
        const char *host;
        int result; /* the first failure */
};

/* what: "cpu", "net"; of: which of several, or NULL. */
static void publish(struct batch *batch, const char *what, const char *of, const ProtobufCMessage *message) {
        uint8_t bytes[SAMPLE_BYTES_MAX];
        char subject[256], token[TOKEN_BYTES];
        ramal_publish_options options = {.size = sizeof(options), .type = message->descriptor->name};

        if (batch->result < 0)
                return;
        if (protobuf_c_message_get_packed_size(message) > sizeof(bytes)) {
                batch->result = -EMSGSIZE;
                return;
        }
        size_t len = protobuf_c_message_pack(message, bytes);
        snprintf(subject, sizeof(subject), "host.%s.%s%s%s", batch->host, what, of ? "." : "",
                 of ? token_make(of, token) : "");
        batch->result = ramal_publish_with(batch->conn, subject, bytes, len, &options);
}

int report_publish(ramal_conn *conn, const char *host, const struct reading *now, const struct reading *before) {
        struct batch batch = {conn, host, 0};

        ramal_cork(conn);
        if (now->has_cpu) {
                Hostmon__V1__Cpu cpu;
                fill_cpu(&cpu, now, before);
                publish(&batch, "cpu", NULL, &cpu.base);
        }
        if (now->has_memory) {
                Hostmon__V1__Memory memory;
                fill_memory(&memory, now);
                publish(&batch, "mem", NULL, &memory.base);
        }
        if (now->has_load) {
                Hostmon__V1__Load load;
                fill_load(&load, now);
                publish(&batch, "load", NULL, &load.base);
        }
        for (size_t i = 0; i < now->net_count; i++) {
                struct net net = now->net[i];
                Hostmon__V1__Net message;
                fill_net(&message, &net, now, before);
                publish(&batch, "net", net.name, &message.base);
        }
        for (size_t i = 0; i < now->disk_count; i++) {
                struct disk disk = now->disk[i];
                Hostmon__V1__Disk message;
                fill_disk(&message, &disk, now, before);
                publish(&batch, "disk", disk.name, &message.base);
        }
        int r = ramal_uncork(conn);
        return batch.result < 0 ? batch.result : r;
}

/* ---- the snapshot ---- */

/* All parts of a snapshot, which points into itself. */
struct snapshot {
        Hostmon__V1__Snapshot message;
        Hostmon__V1__Cpu cpu;
        Hostmon__V1__Memory memory;
        Hostmon__V1__Load load;
        struct reading reading;
        Hostmon__V1__Net net[NET_MAX], *net_pointers[NET_MAX];
        Hostmon__V1__Disk disk[DISK_MAX], *disk_pointers[DISK_MAX];
        char name[TOKEN_BYTES];
};

static void fill_snapshot(struct snapshot *all, const char *name, const struct reading *now,
                          const struct reading *before) {
        Hostmon__V1__Snapshot *message = &all->message;

        all->reading = *now;
        snprintf(all->name, sizeof(all->name), "%s", name);
        hostmon__v1__snapshot__init(message);
        message->host = all->name;
        message->time_us = now->time_us;
        fill_cpu(&all->cpu, now, before);
        fill_memory(&all->memory, now);
        fill_load(&all->load, now);
        message->cpu = now->has_cpu ? &all->cpu : NULL;
        message->memory = now->has_memory ? &all->memory : NULL;
        message->load = now->has_load ? &all->load : NULL;
        for (size_t i = 0; i < now->net_count; i++) {
                fill_net(&all->net[i], &all->reading.net[i], now, before);
                all->net_pointers[i] = &all->net[i];
        }
        message->n_net = now->net_count;
        message->net = all->net_pointers;
        for (size_t i = 0; i < now->disk_count; i++) {
                fill_disk(&all->disk[i], &all->reading.disk[i], now, before);
                all->disk_pointers[i] = &all->disk[i];
        }
        message->n_disk = now->disk_count;
        message->disk = all->disk_pointers;
}

int report_snapshot(ramal_req *request, const char *name, const struct reading *now, const struct reading *before) {
        struct snapshot *all = calloc(1, sizeof(*all));

        if (!all)
                return ramal_fail(request, 1, "out of memory");
        fill_snapshot(all, name, now, before);
        size_t len = protobuf_c_message_get_packed_size(&all->message.base);
        uint8_t *bytes = malloc(len > 0 ? len : 1);
        int r;
        if (bytes) {
                ramal_reply_options options = {.size = sizeof(options), .type = all->message.base.descriptor->name};
                protobuf_c_message_pack(&all->message.base, bytes);
                r = ramal_reply_with(request, bytes, len, &options);
        } else {
                r = ramal_fail(request, 1, "out of memory");
        }
        free(bytes);
        free(all);
        return r;
}
