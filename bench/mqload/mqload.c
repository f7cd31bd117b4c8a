/*
 * mqload - a small MQTT load generator for Linux.
 *
 * One thread, one epoll loop, nothing beyond libc. It speaks MQTT 3.1.1, or 5.0 with --v5, over
 * plain TCP, and it always stops by itself (--timeout). Three modes:
 *
 *   fanin    P publishers, nobody listening: how fast does the broker accept messages?
 *   e2e      P publishers and S subscribers: how fast, how late and how completely do they arrive?
 *   connect  C connections, then idle: how fast are they accepted, what does each of them cost?
 *
 * How things are measured:
 *
 *   - QoS 1 and 2: a message is acknowledged at its PUBACK or PUBCOMP; at most --window messages
 *     are under way per publisher.
 *   - QoS 0 has no acknowledgement. A publisher therefore sends a PINGREQ after every --confirm
 *     messages and after its last one, and has at most MARKS of them under way. The PINGRESP says
 *     that the broker has read what came before, so the rate is that of the broker and not of the
 *     socket buffers.
 *   - Without --rate the load is a closed loop: latency counts from when a message was written, and
 *     at saturation it mostly says how long the queue is. Some brokers accept messages much faster
 *     than they deliver them and queue the rest; e2e with --backlog finds what they sustain.
 *   - With --rate the load is an open loop: message k is due at start + k/rate, and latency counts
 *     from that instant even when the message left late (no coordinated omission). "send_lag" is
 *     the part of it that passed before mqload wrote the message: because the window was full or
 *     the socket blocked (the broker is late) or because mqload had no CPU (then distrust the run).
 *   - A generator_cpu_pct near 100 means that mqload was the bottleneck: use several processes,
 *     with --first, --client-id and --sub-client-id to keep their clients apart.
 *   - With --credentials every publisher or connection is somebody of its own, as devices are.
 *   - More handshakes at once (--parallel) than the broker's listen backlog holds cost seconds each:
 *     the kernel drops the surplus and TCP tries again after 1, 3 and 7 s.
 *
 * Exit status: 0 complete, 1 the run failed or lost a connection, 2 wrong usage. Lost or duplicated
 * messages are a result, not a failure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

typedef unsigned long long u64;

enum {
    BATCH = 32 * 1024,        /* bytes a publisher composes before it writes */
    SCRATCH = 1024 * 1024,    /* read buffer, shared by all connections; the largest packet */
    MAX_PAYLOAD = 256 * 1024, /* before substitution */
    MARKS = 8,                /* PINGREQs a connection may have under way */
    PORTS_PER_SOURCE = 20000, /* connections from one source address before the next is used */
    STAMP = 3 + 8 + 8 + 8 + 16,
    SEC = 1000000000,         /* nanoseconds */
};
enum packet { CONNACK = 2, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK,
              PINGREQ = 12, PINGRESP, DISCONNECT };

/* ---- options ---------------------------------------------------------------------------------- */

static enum mode { FANIN, E2E, CONNECT } mode;
static const char *const mode_names[] = { "fanin", "e2e", "connect" };

static struct {
    char *host, *port, *client_id, *username, *password, *sub_client_id, *sub_username,
        *sub_password, *credentials, *topic, *filter, *payload, *payload_file;
    unsigned pubs, subs, conns, first, messages, qos, sub_qos, window, backlog, confirm, size,
        parallel, keepalive, src_addrs, pid;
    double rate, duration, warmup, hold, drain, timeout;
    bool v5, retain, json, quiet;
} opt = { .host = "127.0.0.1", .port = "1883", .pubs = 1, .subs = 1, .conns = 1000,
          .messages = 10000, .sub_qos = 9, .window = 64, .confirm = 256, .parallel = 100,
          .keepalive = 60, .drain = 2, .client_id = "mqload-p%d", .sub_client_id = "mqload-s%d" };

static const struct option_row {
    const char *name;
    char type; /* s string, u unsigned, f number, b flag */
    void *value;
    const char *help;
} options[] = {
    { "host", 's', &opt.host, "broker address (127.0.0.1)" },
    { "port", 's', &opt.port, "broker port (1883)" },
    { "v5", 'b', &opt.v5, "speak MQTT 5.0 instead of 3.1.1" },
    { "client-id", 's', &opt.client_id, "pattern for publishers and connect mode (mqload-p%d)" },
    { "username", 's', &opt.username, "user name pattern" },
    { "password", 's', &opt.password, "password pattern" },
    { "sub-client-id", 's', &opt.sub_client_id, "pattern for subscribers (mqload-s%d)" },
    { "sub-username", 's', &opt.sub_username, "user name pattern of subscribers (--username)" },
    { "sub-password", 's', &opt.sub_password, "password pattern of subscribers (--password)" },
    { "credentials", 's', &opt.credentials, "file: client id, user name, password of each client" },
    { "keepalive", 'u', &opt.keepalive, "keep-alive in seconds (60)" },
    { "first", 'u', &opt.first, "first client index (0)" },
    { "parallel", 'u', &opt.parallel, "handshakes under way at once (100)" },
    { "src-addrs", 'u', &opt.src_addrs, "spread clients over 127.0.0.1 .. N (one per 20000)" },
    { "pubs", 'u', &opt.pubs, "fanin, e2e: publishers (1)" },
    { "subs", 'u', &opt.subs, "e2e: subscribers (1)" },
    { "topic", 's', &opt.topic, "topic pattern (fanin devices/dev-%d/datastream, e2e bench/%d)" },
    { "filter", 's', &opt.filter, "e2e: subscription pattern (bench/#)" },
    { "qos", 'u', &opt.qos, "QoS of publications (0)" },
    { "sub-qos", 'u', &opt.sub_qos, "e2e: QoS of subscriptions (as --qos)" },
    { "retain", 'b', &opt.retain, "set the retain flag" },
    { "messages", 'u', &opt.messages, "messages per publisher (10000)" },
    { "duration", 'f', &opt.duration, "publish for this many seconds instead of --messages" },
    { "warmup", 'f', &opt.warmup, "leave the first seconds out of rates and latencies (0)" },
    { "rate", 'f', &opt.rate, "open loop: messages per second of all publishers together" },
    { "window", 'u', &opt.window, "QoS 1, 2: unacknowledged messages per publisher (64)" },
    { "backlog", 'u', &opt.backlog, "e2e: undelivered messages per publisher (0 for no limit)" },
    { "confirm", 'u', &opt.confirm, "QoS 0: PINGREQ after so many messages, 0 only the last (256)" },
    { "payload", 's', &opt.payload, "template: %d index, %s sequence, %t epoch ms, %x stamp (e2e)" },
    { "payload-file", 's', &opt.payload_file, "read the template from a file" },
    { "size", 'u', &opt.size, "payload of this many bytes instead of a template (e2e: 100)" },
    { "drain", 'f', &opt.drain, "give up on missing messages after this silence, seconds (2)" },
    { "conns", 'u', &opt.conns, "connect: connections (1000)" },
    { "hold", 'f', &opt.hold, "connect: then stay idle for this many seconds (0)" },
    { "timeout", 'f', &opt.timeout, "stop the run after this many seconds (60, or what it needs)" },
    { "pid", 'u', &opt.pid, "the broker's process: report its CPU and memory too" },
    { "json", 'b', &opt.json, "end with one line of JSON" },
    { "quiet", 'b', &opt.quiet, "no human-readable lines" },
};
static const struct option_row *const options_end = options + sizeof options / sizeof *options;

/* ---- small things ----------------------------------------------------------------------------- */

static u64 now; /* monotonic ns; refreshed on every wake-up and after every read */

static u64 clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (u64)ts.tv_sec * SEC + (u64)ts.tv_nsec;
}

__attribute__((format(printf, 1, 2), noreturn)) static void usage_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("mqload: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs(" (--help lists the options)\n", stderr);
    exit(2);
}

static void *alloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (!p) {
        fputs("mqload: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void *alloc_zero(size_t count, size_t size)
{
    return memset(alloc(NULL, count * size), 0, count * size);
}

/* Latency histogram: 64 steps per power of two, so a percentile is at most 1.6 % too high. */
enum { STEPS = 64 * 40 };
static struct hist {
    u64 count, max, step[STEPS];
} h_handshake, h_ack, h_delivery, h_lag;

static void hist_add(struct hist *h, u64 v)
{
    unsigned shift = v < 64 ? 0 : 57 - (unsigned)__builtin_clzll(v);
    unsigned i = shift * 64 + (unsigned)(v >> shift);
    h->step[i < STEPS ? i : STEPS - 1]++;
    h->count++;
    if (v > h->max)
        h->max = v;
}

static double hist_ms(const struct hist *h, double quantile)
{
    u64 have = 0, top = h->max;
    for (unsigned i = 0; i < STEPS; i++) {
        have += h->step[i];
        if ((double)have >= quantile * (double)h->count) {
            top = i < 64 ? i : ((u64)(i % 64 + 65) << (i / 64 - 1)) - 1;
            break;
        }
    }
    return (double)(top < h->max ? top : h->max) / 1e6;
}

/* A number from a file under /proc/PID: what follows "key", after skipping some words. */
static double proc_number(const char *name, const char *key, int skip)
{
    char path[64], text[2048], *p;
    snprintf(path, sizeof path, "/proc/%u/%s", opt.pid, name);
    FILE *f = opt.pid ? fopen(path, "r") : NULL;
    if (!f)
        return 0;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    if (!(p = strstr(text, key)))
        return 0;
    for (p += strlen(key); skip--; p += strcspn(p, " "))
        p += strspn(p, " ");
    return atof(p);
}

/* ---- patterns and payloads --------------------------------------------------------------------- */

/* A copy of the pattern with %d replaced by the client index. */
static char *expand(const char *pattern, unsigned index)
{
    char *out = alloc(NULL, strlen(pattern) * 6 + 1), *p = out;
    for (const char *s = pattern; *s; s++) {
        if (s[0] == '%' && s[1] == 'd')
            p += sprintf(p, "%u", index), s++;
        else
            *p++ = *s;
    }
    *p = 0;
    return out;
}

static char payload_template[MAX_PAYLOAD + 3];
static char payload[sizeof payload_template / 2 * STAMP]; /* room for a template of %x only */
static size_t template_len;
static uint32_t run_id; /* tells our stamps from those of other runs */

static char *put_hex(char *p, u64 v, int digits)
{
    for (int i = digits - 1; i >= 0; i--, v >>= 4)
        p[i] = "0123456789abcdef"[v & 15];
    return p + digits;
}

static bool get_hex(const uint8_t **p, int digits, u64 *v)
{
    for (*v = 0; digits--; ++*p) {
        unsigned c = **p, d = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : 16;
        if (d == 16)
            return false;
        *v = *v << 4 | d;
    }
    return true;
}

/* Renders one message into "payload" and returns its length. */
static size_t render_payload(unsigned index, unsigned publisher, unsigned seq, u64 stamp)
{
    const char *t = payload_template, *end = t + template_len, *next;
    char *p = payload;
    for (; t < end; t = next + 2) {
        if (!(next = memchr(t, '%', (size_t)(end - t))))
            next = end;
        p = mempcpy(p, t, (size_t)(next - t));
        if (next == end)
            break;
        switch (next[1]) {
        case 'd':
            p += sprintf(p, "%u", index);
            break;
        case 's':
            p += sprintf(p, "%u", seq);
            break;
        case 't':
            p += sprintf(p, "%llu", clock_ns(CLOCK_REALTIME) / 1000000);
            break;
        case 'x':
            p = put_hex(put_hex(mempcpy(p, "mq#", 3), run_id, 8), publisher, 8);
            p = put_hex(put_hex(p, seq, 8), stamp, 16);
            break;
        default: /* %% is one %; any other % stands for itself */
            *p++ = '%';
            next -= next[1] != '%';
        }
    }
    return (size_t)(p - payload);
}

/* Does a subscription filter match a topic? Needed to know how many deliveries to expect. */
static bool filter_matches(const char *f, const char *t)
{
    for (;; f++, t++) {
        if (*f == '+') {
            t += strcspn(t, "/");
            f++;
        }
        if (*f == '#' || (f[0] == '/' && f[1] == '#' && !*t))
            return true;
        if (*f != *t || !*f)
            return *f == *t;
    }
}

/* ---- connections ------------------------------------------------------------------------------- */

enum state { NEW, CONNECTING, SUBSCRIBING, READY, CLOSED };
enum role { PUBLISHER, SUBSCRIBER, IDLE };

struct slot { /* a QoS 1 or 2 message under way */
    u64 stamp;
    uint16_t pid;
    uint8_t expect; /* PUBACK, PUBREC or PUBCOMP; 0 when free */
};

struct seen { /* what a subscriber got from one publisher */
    u64 *bits;
    unsigned words, next;
};

static struct conn {
    int fd;
    enum state state;
    enum role role;
    bool watching_out;
    unsigned number, index; /* position within its role; client index for patterns */
    uint8_t *out, *in;      /* unsent bytes; an incomplete packet */
    size_t out_off, out_len, out_cap, in_len;
    u64 opened, next_ping, keepalive_ns;
    unsigned pings, mark[MARKS]; /* "sent" at each PINGREQ under way, oldest first */
    /* publisher */
    char *topic;
    unsigned sent, acked, due, marked, inflight, window, slot_mask, fanout;
    u64 arrived; /* deliveries of its messages, and those written off */
    bool woken;
    uint16_t next_pid;
    struct slot *slots;
    /* subscriber */
    char *filter;
    struct seen *seen;
    size_t stamp_at; /* where the stamp was in the last payload */
} *conns, *pubs;     /* all connections, subscribers first; the publishers among them */
static struct conn **woken; /* publishers whose backlog shrank */

static unsigned conn_count, sub_count, launched, handshaking, ready, failed, disconnected,
    woken_count;
static int epoll_fd, timer_fd;
static struct sockaddr_storage broker_addr;
static socklen_t broker_addr_len;

static enum phase { SETUP, RUN, DRAIN, HOLD, DONE } phase;
static char run_error[512];
static volatile sig_atomic_t interrupted;

/* --credentials: who the publishers, or the connections of connect mode, are; by client index. */
static struct credential {
    char *client_id, *username, *password;
} *credentials;

/* Totals of the whole run; what is lost and duplicated follows from them. */
static u64 sent, acked, rejected, delivered, duplicated, reordered, foreign, pongs;
static u64 scheduled, first_connect, last_connack, run_start, last_ack, last_delivery,
    last_written_off, deadline;
static unsigned senders; /* publishers that still have something to send */

/* Begin and end of the measured part of the run. */
static struct sample {
    u64 time, acked, delivered;
    double cpu, broker_cpu, broker_rss; /* seconds, seconds, bytes */
} began, ended;
static double rss_before, rss_after;

static struct sample take_sample(void)
{
    double ticks = proc_number("stat", ")", 11) + proc_number("stat", ")", 12);
    return (struct sample){ now, acked, delivered,
                            (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / SEC,
                            ticks / (double)sysconf(_SC_CLK_TCK),
                            proc_number("smaps_rollup", "\nRss:", 0) * 1024 };
}

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!run_error[0])
        vsnprintf(run_error, sizeof run_error, fmt, ap);
    va_end(ap);
    phase = DONE;
}

/* What a client calls itself; the caller frees it. */
static char *client_id(const struct conn *c)
{
    if (opt.credentials && c->role != SUBSCRIBER)
        return strdup(credentials[c->index].client_id);
    return expand(c->role == SUBSCRIBER ? opt.sub_client_id : opt.client_id, c->index);
}

/* Closes a connection that broke. In connect mode it is counted, otherwise it ends the run. */
__attribute__((format(printf, 2, 3))) static void conn_lost(struct conn *c, const char *fmt, ...)
{
    enum phase was = phase;
    char why[256], *id = client_id(c);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    fail("client '%s': %s", id, why);
    if (mode == CONNECT)
        phase = was;
    free(id);
    *(c->state == READY ? &ready : &handshaking) -= 1;
    *(c->state == READY ? &disconnected : &failed) += 1;
    close(c->fd);
    c->state = CLOSED;
}

static uint8_t *put_u16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static uint8_t *put_bytes(uint8_t *p, const void *from, size_t n) /* with a length before them */
{
    return mempcpy(put_u16(p, n), from, n);
}

/* Appends a fixed header to the output; the caller writes the n bytes that follow it. */
static uint8_t *begin_packet(struct conn *c, unsigned header, size_t n)
{
    if (c->out_len + n + 5 > c->out_cap) {
        c->out_cap = (c->out_len + n + 5) * (c->role == IDLE ? 1 : 2);
        c->out = alloc(c->out, c->out_cap);
    }
    uint8_t *p = c->out + c->out_len;
    *p++ = (uint8_t)header;
    size_t v = n;
    for (; v > 127; v >>= 7)
        *p++ = (uint8_t)(v | 128);
    *p++ = (uint8_t)v;
    c->out_len = (size_t)(p - c->out) + n;
    return p;
}

static void queue_connect(struct conn *c)
{
    bool sub = c->role == SUBSCRIBER, own = opt.credentials && !sub;
    char *user = sub && opt.sub_username ? opt.sub_username : opt.username;
    char *pass = sub && opt.sub_password ? opt.sub_password : opt.password;
    char *field[] = { client_id(c), user ? expand(user, c->index) : NULL,
                      pass ? expand(pass, c->index) : NULL };
    if (own) {
        user = field[1] = strdup(credentials[c->index].username);
        pass = field[2] = strdup(credentials[c->index].password);
    }
    size_t n = 10 + opt.v5;
    for (int i = 0; i < 3; i++)
        n += field[i] ? 2 + strlen(field[i]) : 0;
    uint8_t *p = put_bytes(begin_packet(c, 0x10, n), "MQTT", 4);
    *p++ = opt.v5 ? 5 : 4;
    *p++ = (uint8_t)(2 | (user ? 128 : 0) | (pass ? 64 : 0)); /* 2: clean session */
    p = put_u16(p, opt.keepalive);
    if (opt.v5)
        *p++ = 0; /* no properties */
    for (int i = 0; i < 3; i++) {
        if (field[i])
            p = put_bytes(p, field[i], strlen(field[i]));
        free(field[i]);
    }
}

static void queue_subscribe(struct conn *c)
{
    size_t len = strlen(c->filter);
    uint8_t *p = put_u16(begin_packet(c, SUBSCRIBE << 4 | 2, 5 + opt.v5 + len), 1);
    if (opt.v5)
        *p++ = 0;
    *put_bytes(p, c->filter, len) = (uint8_t)opt.sub_qos;
}

static void queue_ack(struct conn *c, enum packet type, unsigned pid)
{
    put_u16(begin_packet(c, type << 4 | (type == PUBREL ? 2 : 0), 2), pid);
}

static void queue_ping(struct conn *c)
{
    begin_packet(c, PINGREQ << 4, 0);
    c->mark[c->pings++] = c->marked = c->sent;
}

/* ---- publishing -------------------------------------------------------------------------------- */

static bool may_send(const struct conn *c)
{
    if (phase != RUN || c->role != PUBLISHER || c->state != READY || c->sent >= c->due)
        return false;
    if (opt.backlog && c->fanout && c->sent >= c->arrived / c->fanout + opt.backlog)
        return false;
    if (opt.qos > 0)
        return c->inflight < c->window;
    return !opt.confirm || c->sent - c->marked < opt.confirm;
}

static void queue_publish(struct conn *c, u64 stamp)
{
    size_t len = render_payload(c->index, c->number, c->sent, stamp), topic = strlen(c->topic);
    uint8_t *p = begin_packet(c, (unsigned)(PUBLISH << 4) | opt.qos << 1 | opt.retain,
                              2 + topic + (opt.qos ? 2 : 0) + opt.v5 + len);
    p = put_bytes(p, c->topic, topic);
    if (opt.qos) {
        struct slot *s;
        do { /* acknowledgements may come in any order: skip identifiers whose slot is taken */
            c->next_pid = (uint16_t)(c->next_pid == 65535 ? 1 : c->next_pid + 1);
            s = &c->slots[c->next_pid & c->slot_mask];
        } while (s->expect);
        *s = (struct slot){ stamp, c->next_pid, opt.qos == 1 ? PUBACK : PUBREC };
        c->inflight++;
        p = put_u16(p, c->next_pid);
    }
    if (opt.v5)
        *p++ = 0;
    memcpy(p, payload, len);
    sent++;
    senders -= ++c->sent == opt.messages;
}

/* When message k of the open loop is due. The publishers take turns. */
static u64 due_time(u64 k)
{
    return run_start + (u64)((double)k * (SEC / opt.rate));
}

static void compose(struct conn *c)
{
    for (;;) {
        bool last = c->sent == opt.messages || phase == DRAIN;
        if (opt.qos == 0 && c->sent > c->marked && c->pings < MARKS &&
            (last || (opt.confirm && c->sent - c->marked >= opt.confirm)))
            queue_ping(c);
        if (c->out_len - c->out_off >= BATCH || !may_send(c))
            return;
        u64 stamp = now;
        if (opt.rate > 0) {
            stamp = due_time((u64)c->sent * opt.pubs + c->number);
            if (stamp >= began.time)
                hist_add(&h_lag, now > stamp ? now - stamp : 0);
        }
        queue_publish(c, stamp);
    }
}

/* Composes what the connection may send now, writes it, and asks for EPOLLOUT when more is left. */
static void pump(struct conn *c)
{
    if (c->out_off) { /* the last write was cut short */
        memmove(c->out, c->out + c->out_off, c->out_len -= c->out_off);
        c->out_off = 0;
    }
    if (c->role == PUBLISHER && c->state == READY)
        compose(c);
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR) {
            conn_lost(c, "connection to %s:%s: %s", opt.host, opt.port, strerror(errno));
            return;
        }
        c->out_off += n > 0 ? (size_t)n : 0;
    }
    if (c->out_off == c->out_len)
        c->out_off = c->out_len = 0;
    bool more = c->out_len > 0 || may_send(c);
    if (more != c->watching_out) {
        struct epoll_event e = { .events = EPOLLIN | (more ? EPOLLOUT : 0u), .data.ptr = c };
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
        c->watching_out = more;
    }
}

static void on_ack(struct conn *c, enum packet type, unsigned pid, unsigned reason)
{
    struct slot *s = c->slots ? &c->slots[pid & c->slot_mask] : NULL;
    if (!s || s->pid != pid || s->expect != type) {
        conn_lost(c, "unexpected acknowledgement (packet type %d, identifier %u)", type, pid);
        return;
    }
    if (type == PUBREC && reason < 0x80) {
        s->expect = PUBCOMP;
        queue_ack(c, PUBREL, pid);
        return;
    }
    s->expect = 0;
    c->inflight--;
    c->acked++;
    acked++;
    rejected += reason >= 0x80;
    last_ack = now;
    if (s->stamp >= began.time)
        hist_add(&h_ack, now - s->stamp);
}

/* ---- receiving --------------------------------------------------------------------------------- */

static const char *reason_text(unsigned code)
{
    static const char *const v3[] = { "accepted", "unacceptable protocol version",
        "client identifier rejected", "server unavailable", "bad user name or password",
        "not authorized" };
    static const char *const v5[] = { "unspecified error", "malformed packet", "protocol error",
        "implementation specific error", "unsupported protocol version",
        "client identifier not valid", "bad user name or password", "not authorized",
        "server unavailable", "server busy", "banned", "server shutting down",
        "bad authentication method", "keep alive timeout", "session taken over",
        "topic filter invalid", "topic name invalid", "packet identifier in use",
        "packet identifier not found", "receive maximum exceeded", "topic alias invalid",
        "packet too large", "message rate too high", "quota exceeded", "administrative action",
        "payload format invalid", "retain not supported", "QoS not supported",
        "use another server", "server moved", "shared subscriptions not supported",
        "connection rate exceeded", "maximum connect time",
        "subscription identifiers not supported", "wildcard subscriptions not supported" };
    if (code < sizeof v3 / sizeof *v3)
        return v3[code];
    return code >= 0x80 && code - 0x80 < sizeof v5 / sizeof *v5 ? v5[code - 0x80] : "unknown";
}

static unsigned get_u16(const uint8_t *p)
{
    return (unsigned)(p[0] << 8 | p[1]);
}

/* Reads a variable byte integer; returns its length, 0 when incomplete, -1 when malformed. */
static int get_varint(const uint8_t *p, size_t have, size_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i >= have)
            return 0;
        *value |= (size_t)(p[i] & 127) << 7 * i;
        if (p[i] < 128)
            return (int)i + 1;
    }
    return -1;
}

/* Heeds the limits that a 5.0 broker sets in its CONNACK. */
static void apply_connack_properties(struct conn *c, const uint8_t *p, size_t len)
{
    size_t left, n;
    int used = get_varint(p, len, &left);
    if (used <= 0 || left > len - (size_t)used)
        return;
    for (p += used; left >= 2; p += n, left -= n) {
        uint8_t id = *p++;
        left--;
        n = memchr("\x24\x25\x28\x29\x2a", id, 5) ? 1
            : memchr("\x13\x21\x22", id, 3)         ? 2
            : memchr("\x11\x27", id, 2)             ? 4
                                                    : 2 + get_u16(p); /* a string */
        if (id == 0x26 && n + 2 <= left) /* two strings */
            n += 2 + get_u16(p + n);
        if (n > left)
            return;
        if (id == 0x21 && get_u16(p) && get_u16(p) < c->window) /* receive maximum */
            c->window = get_u16(p);
        if (id == 0x13) /* server keep alive */
            c->keepalive_ns = (u64)get_u16(p) * SEC / 4 * 3;
        if (id == 0x24 && c->role == PUBLISHER && *p < opt.qos)
            fail("the broker allows publications up to QoS %u only", *p);
    }
}

static void became_ready(struct conn *c)
{
    c->state = READY;
    handshaking--;
    ready++;
    last_connack = now;
    hist_add(&h_handshake, now - c->opened);
}

/* Books a delivery: the stamp in the payload says which message it is and when it was sent. */
static void on_delivery(struct conn *c, const uint8_t *data, size_t len)
{
    u64 id, from, seq, stamp;
    const uint8_t *p = data + c->stamp_at;
    if (c->stamp_at + STAMP > len || memcmp(p, "mq#", 3))
        p = memmem(data, len, "mq#", 3);
    if (p && p + STAMP <= data + len) {
        c->stamp_at = (size_t)(p - data);
        p += 3;
    } else {
        p = NULL;
    }
    if (!p || !get_hex(&p, 8, &id) || !get_hex(&p, 8, &from) || !get_hex(&p, 8, &seq) ||
        !get_hex(&p, 16, &stamp) || id != run_id || from >= opt.pubs || seq >= pubs[from].sent) {
        foreign++;
        return;
    }
    last_delivery = now;
    if (!c->seen)
        c->seen = alloc_zero(opt.pubs, sizeof *c->seen);
    struct seen *s = &c->seen[from];
    unsigned word = (unsigned)(seq / 64);
    if (word >= s->words) {
        unsigned words = word * 2 + 16;
        s->bits = alloc(s->bits, words * sizeof *s->bits);
        memset(s->bits + s->words, 0, (words - s->words) * sizeof *s->bits);
        s->words = words;
    }
    if (s->bits[word] >> seq % 64 & 1) {
        duplicated++;
        return;
    }
    s->bits[word] |= 1ull << seq % 64;
    if (seq < s->next)
        reordered++;
    else
        s->next = (unsigned)seq + 1;
    delivered++;
    pubs[from].arrived++;
    if (opt.backlog && !pubs[from].woken) {
        pubs[from].woken = true;
        woken[woken_count++] = &pubs[from];
    }
    if (stamp >= began.time)
        hist_add(&h_delivery, now - stamp);
}

static void on_publish(struct conn *c, unsigned flags, const uint8_t *p, size_t len)
{
    unsigned qos = flags >> 1 & 3;
    size_t topic = len >= 2 ? 2 + get_u16(p) : len + 1, at = topic + (qos ? 2 : 0), properties;
    if (opt.v5 && at < len) {
        int used = get_varint(p + at, len - at, &properties);
        at = used > 0 ? at + (size_t)used + properties : len + 1;
    }
    if (at > len || qos == 3) {
        conn_lost(c, "malformed PUBLISH from the broker");
        return;
    }
    if (qos)
        queue_ack(c, qos == 1 ? PUBACK : PUBREC, get_u16(p + topic));
    on_delivery(c, p + at, len - at);
}

static void on_packet(struct conn *c, uint8_t header, const uint8_t *p, size_t len)
{
    enum packet type = header >> 4;
    unsigned pid = len >= 2 ? get_u16(p) : 0;
    bool expected = c->state == CONNECTING    ? type == CONNACK
                    : c->state == SUBSCRIBING ? type == SUBACK || type == PUBLISH
                                              : type != CONNACK && type != SUBACK;
    if (!expected) {
        conn_lost(c, "unexpected packet type %d from the broker", type);
        return;
    }
    switch (type) {
    case CONNACK:
        if (len < 2 || p[1]) {
            conn_lost(c, "the broker refused the connection: CONNACK code %u (%s)",
                      len < 2 ? 0x81 : p[1], reason_text(len < 2 ? 0x81 : p[1]));
            return;
        }
        if (opt.v5)
            apply_connack_properties(c, p + 2, len - 2);
        c->next_ping = now + c->keepalive_ns;
        if (c->role == SUBSCRIBER) {
            queue_subscribe(c); /* ready when the SUBACK has come */
            c->state = SUBSCRIBING;
        } else {
            became_ready(c);
        }
        break;
    case SUBACK:
        if (len < 3 || p[len - 1] >= 0x80)
            conn_lost(c, "the broker refused the subscription to '%s': code %u", c->filter,
                      len < 3 ? 0x81 : p[len - 1]);
        else
            became_ready(c);
        break;
    case PUBLISH:
        on_publish(c, header & 15, p, len);
        break;
    case PUBACK:
    case PUBREC:
    case PUBCOMP:
        on_ack(c, type, pid, opt.v5 && len > 2 ? p[2] : 0);
        break;
    case PUBREL:
        queue_ack(c, PUBCOMP, pid);
        break;
    case PINGRESP:
        if (!c->pings) {
            conn_lost(c, "PINGRESP without PINGREQ");
            return;
        }
        pongs++;
        if (c->role == PUBLISHER && opt.qos == 0) {
            acked += c->mark[0] - c->acked;
            c->acked = c->mark[0];
            last_ack = now;
        }
        memmove(c->mark, c->mark + 1, --c->pings * sizeof *c->mark);
        break;
    case DISCONNECT:
        conn_lost(c, "the broker disconnected: code %u (%s)", len ? p[0] : 0,
                  len ? reason_text(p[0]) : "no reason");
        break;
    default:
        conn_lost(c, "unexpected packet type %d from the broker", type);
    }
}

static void on_readable(struct conn *c)
{
    static uint8_t scratch[SCRATCH];
    size_t at = 0, have = c->in_len, len;
    if (have)
        memcpy(scratch, c->in, have);
    ssize_t n = read(c->fd, scratch + have, SCRATCH - have);
    if (n <= 0) {
        if (n == 0)
            conn_lost(c, "the broker closed the connection%s",
                      c->state == READY ? "" : " in the handshake");
        else if (errno != EAGAIN && errno != EINTR)
            conn_lost(c, "connection to %s:%s: %s", opt.host, opt.port, strerror(errno));
        return;
    }
    now = clock_ns(CLOCK_MONOTONIC);
    have += (size_t)n;
    while (have - at >= 2) {
        int used = get_varint(scratch + at + 1, have - at - 1, &len);
        if (used < 0 || len > SCRATCH - 5) {
            conn_lost(c, "malformed or too large packet from the broker");
            return;
        }
        if (used == 0 || have - at < 1 + (size_t)used + len)
            break;
        on_packet(c, scratch[at], scratch + at + 1 + used, len);
        if (c->state == CLOSED)
            return;
        at += 1 + (size_t)used + len;
    }
    c->in_len = have - at;
    if (c->in_len)
        memcpy(c->in = alloc(c->in, c->in_len), scratch + at, c->in_len);
    pump(c); /* acknowledgements to send, or a window that has opened */
}

/* ---- the run ----------------------------------------------------------------------------------- */

static void open_conn(struct conn *c)
{
    int on = 1;
    c->fd = socket(broker_addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail("socket: %s", strerror(errno));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (opt.src_addrs) { /* the port is chosen at connect(), per pair of addresses */
        struct sockaddr_in from = { .sin_family = AF_INET };
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(c - conns) % opt.src_addrs);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0)
            fail("bind to 127.0.0.x: %s", strerror(errno));
    }
    c->opened = clock_ns(CLOCK_MONOTONIC);
    c->state = CONNECTING;
    c->watching_out = true;
    handshaking++;
    queue_connect(c); /* goes out with the first EPOLLOUT; errors of connect() come back there too */
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    if (connect(c->fd, (struct sockaddr *)&broker_addr, broker_addr_len) < 0 &&
        errno != EINPROGRESS)
        conn_lost(c, "cannot connect to %s:%s: %s", opt.host, opt.port, strerror(errno));
}

static void on_event(struct conn *c, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable(c);
    if (events & EPOLLOUT && c->state != CLOSED)
        pump(c);
}

static void pump_publishers(u64 from, u64 to)
{
    for (; from < to && phase != DONE; from++)
        if (pubs[from % opt.pubs].state == READY)
            pump(&pubs[from % opt.pubs]);
}

/* Lets publishers go on whose messages have been delivered, or are missing for so long that they
 * must be lost. */
static void wake_publishers(void)
{
    for (; woken_count && phase != DONE; woken_count--) {
        woken[woken_count - 1]->woken = false;
        if (woken[woken_count - 1]->state == READY)
            pump(woken[woken_count - 1]);
    }
    u64 last = last_delivery > last_written_off ? last_delivery : last_written_off;
    if (opt.backlog && phase == RUN && now - last > (u64)(opt.drain * SEC)) {
        last_written_off = now;
        for (unsigned i = 0; i < opt.pubs; i++)
            pubs[i].arrived = (u64)pubs[i].sent * pubs[i].fanout;
        pump_publishers(0, opt.pubs);
    }
}

/* Open loop: sends what is due by now and sets the timer for the message after that. */
static void release_due(void)
{
    u64 from = scheduled, next;
    if (scheduled == (u64)opt.messages * opt.pubs)
        return;
    while ((next = due_time(scheduled)) <= now && scheduled < (u64)opt.messages * opt.pubs)
        pubs[scheduled++ % opt.pubs].due++;
    pump_publishers(from, scheduled - from > opt.pubs ? from + opt.pubs : scheduled);
    struct itimerspec at = { .it_value = { (time_t)(next / SEC), (long)(next % SEC) } };
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* How many deliveries the messages sent so far should lead to. */
static u64 expected_deliveries(void)
{
    u64 total = 0;
    for (unsigned i = 0; i < opt.pubs && mode == E2E; i++)
        total += (u64)pubs[i].sent * pubs[i].fanout;
    return total;
}

static void keep_alive(void)
{
    for (struct conn *c = conns; c < conns + conn_count; c++) {
        if (c->state != READY || !c->keepalive_ns || c->next_ping > now)
            continue;
        c->next_ping = now + c->keepalive_ns;
        if (!c->pings) {
            queue_ping(c);
            pump(c);
        }
    }
}

/* Moves the run forward after each wake-up. */
static void advance(void)
{
    static u64 hold_end, expected, drain_start, next_scan;
    static bool warm;
    double running = (double)(now - run_start) / SEC;
    unsigned may_launch = ready < sub_count ? sub_count : conn_count;

    if (interrupted)
        fail("interrupted");
    else if (now > deadline)
        fail("stopped after --timeout %g: %u of %u connections ready, %u in the handshake, %llu "
             "messages sent, %llu acknowledged, %llu delivered", opt.timeout, ready, conn_count,
             handshaking, sent, acked, delivered);
    if (now >= next_scan) {
        next_scan = now + SEC / 5;
        keep_alive();
    }
    switch (phase) {
    case SETUP: /* publishers connect when all subscriptions stand */
        while (phase == SETUP && launched < may_launch && handshaking < opt.parallel)
            open_conn(&conns[launched++]);
        if (phase != SETUP || ready + failed + disconnected < conn_count)
            break;
        if (mode == CONNECT) {
            ended = take_sample();
            hold_end = now + (u64)(opt.hold * SEC);
            phase = HOLD;
            if (!opt.quiet)
                printf("connected    %u, holding them for %g s\n", ready, opt.hold);
            fflush(stdout);
            break;
        }
        phase = RUN;
        senders = opt.pubs;
        began = take_sample();
        run_start = last_ack = last_delivery = now = clock_ns(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < opt.pubs; i++)
            pubs[i].due = opt.rate > 0 ? 0 : opt.messages;
        pump_publishers(0, opt.pubs);
        break;
    case RUN:
        if (!warm && opt.warmup > 0 && running >= opt.warmup) {
            warm = true;
            began = take_sample();
            memset(&h_ack, 0, sizeof h_ack);
            memset(&h_delivery, 0, sizeof h_delivery);
            memset(&h_lag, 0, sizeof h_lag);
        }
        if (opt.duration > 0 && running >= opt.duration) {
            ended = take_sample();
            phase = DRAIN;
            pump_publishers(0, opt.pubs); /* QoS 0: the last PINGREQ */
        } else if (senders == 0) {
            phase = DRAIN;
        } else if (opt.rate > 0) {
            release_due();
        }
        if (phase == DRAIN) {
            expected = expected_deliveries();
            drain_start = now;
        }
        break;
    case DRAIN: {
        u64 last = last_ack > last_delivery ? last_ack : last_delivery;
        bool complete = acked == sent && delivered >= expected;
        if (!complete && now - (last > drain_start ? last : drain_start) < (u64)(opt.drain * SEC))
            break;
        if (opt.duration <= 0) {
            ended = take_sample();
            ended.time = last;
        }
        phase = DONE;
        break;
    }
    case HOLD:
        phase = now >= hold_end ? DONE : HOLD;
        break;
    case DONE:
        break;
    }
}

static void run(void)
{
    struct epoll_event events[512], e = { .events = EPOLLIN, .data.ptr = NULL };
    u64 ticks;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &e);
    first_connect = now = clock_ns(CLOCK_MONOTONIC);
    deadline = now + (u64)(opt.timeout * SEC);
    began = take_sample();
    rss_before = began.broker_rss;
    for (advance(); phase != DONE; advance()) {
        int n = epoll_wait(epoll_fd, events, 512, 20);
        now = clock_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < n && phase != DONE; i++) {
            struct conn *c = events[i].data.ptr;
            if (c && c->state != CLOSED)
                on_event(c, events[i].events);
            else if (!c && read(timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
                fail("timerfd: %s", strerror(errno));
        }
        wake_publishers();
    }
    if (ended.time < began.time)
        ended = take_sample();
    rss_after = take_sample().broker_rss;
    for (struct conn *c = conns; c < conns + conn_count; c++)
        if (c->state == READY && c->out_len == 0)
            (void)!send(c->fd, "\xe0", 2, MSG_NOSIGNAL); /* DISCONNECT */
}

/* ---- results: the same fields as lines for people and as JSON ----------------------------------- */

static bool as_json;
static const char *field_separator;

static void group(const char *name)
{
    printf(as_json ? "},\"%s\":{" : "\n%-13s", name);
    field_separator = "";
}

static void field(const char *name, double value, int decimals)
{
    printf(as_json ? "%s\"%s\":%.*f" : "%s %s %.*f", field_separator, name, decimals, value);
    field_separator = ",";
}

static void latency(const char *name, const struct hist *h)
{
    if (!h->count)
        return;
    group(name);
    field("p50", hist_ms(h, .5), 3);
    field("p95", hist_ms(h, .95), 3);
    field("p99", hist_ms(h, .99), 3);
    field("max", (double)h->max / 1e6, 3);
    field("count", (double)h->count, 0);
}

static double per_second(u64 count, u64 from, u64 to)
{
    return to > from ? (double)count * SEC / (double)(to - from) : 0;
}

static void report(bool ok)
{
    double seconds = (double)(ended.time - began.time) / SEC, percent = 100 / (seconds + 1e-9);
    if (as_json) {
        printf("{\"mode\":\"%s\",\"protocol\":\"%s\",\"ok\":%s,\"error\":\"", mode_names[mode],
               opt.v5 ? "5.0" : "3.1.1", ok ? "true" : "false");
        for (const char *s = run_error; *s; s++)
            putchar(*s == '"' || *s == '\\' || (unsigned char)*s < ' ' ? '\'' : *s);
        printf("\",\"load\":{\"publishers\":%u,\"subscribers\":%u,\"qos\":%u,\"rate\":%.0f",
               mode == CONNECT ? 0 : opt.pubs, sub_count, opt.qos, opt.rate);
    } else {
        printf("mqload %s, MQTT %s, %s:%s", mode_names[mode], opt.v5 ? "5.0" : "3.1.1", opt.host,
               opt.port);
    }
    group("connections");
    field("ready", (double)h_handshake.count, 0);
    field("failed", failed, 0);
    field("disconnected", disconnected, 0);
    field("per_s", per_second(h_handshake.count, first_connect, last_connack), 0);
    field("ping_replies", (double)pongs, 0);
    latency("handshake_ms", &h_handshake);
    if (mode != CONNECT) {
        u64 end = opt.duration > 0 ? ended.time : last_ack;
        group("published");
        field("per_s", per_second(ended.acked - began.acked, began.time, end), 0);
        field("sent", (double)sent, 0);
        field("acked", (double)acked, 0);
        field("rejected", (double)rejected, 0);
        latency("ack_ms", &h_ack);
        latency("send_lag_ms", &h_lag);
    }
    if (mode == E2E) {
        u64 end = opt.duration > 0 ? ended.time : last_delivery, expected = expected_deliveries();
        group("delivered");
        field("per_s", per_second(ended.delivered - began.delivered, began.time, end), 0);
        field("messages", (double)delivered, 0);
        field("lost", expected > delivered ? (double)(expected - delivered) : 0, 0);
        field("duplicated", (double)duplicated, 0);
        field("reordered", (double)reordered, 0);
        field("foreign", (double)foreign, 0);
        latency("delivery_ms", &h_delivery);
    }
    group("resources");
    field("seconds", seconds, 3);
    field("generator_cpu_pct", (ended.cpu - began.cpu) * percent, 1);
    if (opt.pid) {
        field("broker_cpu_pct", (ended.broker_cpu - began.broker_cpu) * percent, 1);
        field("broker_rss_before", rss_before, 0);
        field("broker_rss", ended.broker_rss, 0);
        field("broker_rss_end", rss_after, 0);
        if (mode == CONNECT && ready)
            field("rss_per_connection", (rss_after - rss_before) / ready, 0);
    }
    puts(as_json ? "}}" : "");
}

/* ---- command line ------------------------------------------------------------------------------ */

static void help(void)
{
    puts("usage: mqload fanin|e2e|connect [options]\n\n"
         "  fanin    publish and count acknowledgements\n"
         "  e2e      publish, subscribe, count deliveries\n"
         "  connect  open connections and hold them\n");
    for (const struct option_row *o = options; o < options_end; o++)
        printf("  --%-14s %s %s\n", o->name, o->type == 'b' ? "    " : o->type == 's' ? "TEXT" : "N   ",
               o->help);
    puts("\nIn every pattern %d is the client index. Defaults are in brackets.\n"
         "Line N of --credentials, counted from 0, is that of the client with index N: publishers,\n"
         "or connections in connect mode.");
    exit(0);
}

static void parse_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help"))
            help();
    for (mode = 0; argc > 1 && mode <= CONNECT && strcmp(argv[1], mode_names[mode]); mode++)
        ;
    if (argc < 2 || mode > CONNECT)
        usage_error("the first argument must be fanin, e2e or connect");

    for (int i = 2; i < argc; i++) {
        const struct option_row *o = options;
        while (o < options_end && (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, o->name)))
            o++;
        if (o == options_end)
            usage_error("unknown option '%s'", argv[i]);
        if (o->type == 'b') {
            *(bool *)o->value = true;
            continue;
        }
        if (++i == argc)
            usage_error("--%s needs a value", o->name);
        char *rest = "";
        double number = o->type == 's' ? 0 : strtod(argv[i], &rest);
        if (*rest || !*argv[i] || !(number >= 0 && number < 4e9))
            usage_error("--%s: '%s' is not a possible value", o->name, argv[i]);
        if (o->type == 's')
            *(char **)o->value = argv[i];
        else if (o->type == 'u')
            *(unsigned *)o->value = (unsigned)number;
        else
            *(double *)o->value = number;
    }
}

static void prepare_payload(void)
{
    char *t = payload_template;
    size_t stamp = mode == E2E ? STAMP : 0;
    if (opt.size) { /* the stamp, then dots */
        if (opt.size < stamp || opt.size > MAX_PAYLOAD)
            usage_error("--size must be %zu to %d", stamp, MAX_PAYLOAD);
        template_len = opt.size - stamp + (stamp ? 2 : 0);
        memset(t, '.', template_len);
        memcpy(t, "%x", stamp ? 2 : 0);
    } else if (opt.payload_file) {
        FILE *f = fopen(opt.payload_file, "rb");
        if (!f)
            usage_error("%s: %s", opt.payload_file, strerror(errno));
        template_len = fread(t, 1, MAX_PAYLOAD + 1, f);
        fclose(f);
    } else {
        template_len = strnlen(opt.payload, MAX_PAYLOAD + 1);
        memcpy(t, opt.payload, template_len);
    }
    if (template_len > MAX_PAYLOAD)
        usage_error("the payload is larger than %d bytes", MAX_PAYLOAD);
    if (mode == E2E && !memmem(t, template_len, "%x", 2))
        usage_error("an e2e payload needs %%x, the stamp that deliveries are recognised by");
}

static void check_options(void)
{
    if (opt.qos > 2 || (opt.sub_qos > 2 && opt.sub_qos != 9))
        usage_error("QoS is 0, 1 or 2");
    if (opt.window < 1 || opt.window > 65535 || opt.keepalive > 65535)
        usage_error("--window is 1 to 65535, --keepalive at most 65535");
    if (!opt.parallel || !opt.pubs || !opt.subs || !opt.conns || !opt.messages)
        usage_error("--parallel, --pubs, --subs, --conns and --messages must be at least 1");
    if (opt.warmup > 0 && opt.warmup >= opt.duration)
        usage_error("--warmup must be shorter than --duration");
    if (opt.credentials && (opt.username || opt.password))
        usage_error("--credentials has the user names and passwords already");
    if (opt.password && !opt.username && !opt.v5)
        usage_error("MQTT 3.1.1 has no password without a user name");
    if (opt.sub_qos == 9)
        opt.sub_qos = opt.qos;
    if (opt.duration > 0)
        opt.messages = UINT32_MAX;
    if (!opt.topic)
        opt.topic = mode == FANIN ? "devices/dev-%d/datastream" : "bench/%d";
    if (!opt.filter)
        opt.filter = "bench/#";
    if (!strncmp(opt.filter, "$share/", 7))
        usage_error("shared subscriptions are not supported: losses could not be told");
    if (mode == E2E && !opt.payload && !opt.payload_file && !opt.size)
        opt.size = 100;
    if (!opt.payload)
        opt.payload = "{\"value\":\"25.6\",\"telemetryDataId\":1}";
    if (opt.timeout <= 0) {
        double paced = opt.rate > 0 ? (double)opt.messages * opt.pubs / opt.rate : 0;
        double needed = 30 + (mode == CONNECT      ? opt.hold
                              : opt.duration > 0 ? opt.duration + opt.drain
                                                 : paced + opt.drain);
        opt.timeout = needed > 60 ? needed : 60;
    }
}

static void read_credentials(void)
{
    char *line = NULL;
    size_t size = 0, count = 0, needed = opt.first + (mode == CONNECT ? opt.conns : opt.pubs);
    FILE *f = fopen(opt.credentials, "r");
    if (!f)
        usage_error("%s: %s", opt.credentials, strerror(errno));
    while (getline(&line, &size, f) > 0) {
        struct credential c = { 0 };
        if (sscanf(line, "%ms %ms %ms", &c.client_id, &c.username, &c.password) != 3)
            usage_error("%s:%zu: not a client id, a user name and a password", opt.credentials,
                        count + 1);
        credentials = alloc(credentials, (count + 1) * sizeof *credentials);
        credentials[count++] = c;
    }
    free(line);
    fclose(f);
    if (count < needed)
        usage_error("%s: %zu lines for %zu clients", opt.credentials, count, needed);
}

static void prepare_connections(void)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    int error = getaddrinfo(opt.host, opt.port, &hints, &found);
    if (error)
        usage_error("%s:%s: %s", opt.host, opt.port, gai_strerror(error));
    broker_addr_len = found->ai_addrlen;
    memcpy(&broker_addr, found->ai_addr, broker_addr_len);
    freeaddrinfo(found);

    sub_count = mode == E2E ? opt.subs : 0;
    conn_count = sub_count + (mode == CONNECT ? opt.conns : opt.pubs);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < conn_count + 16ull)
        usage_error("%u connections need 'ulimit -n %u'", conn_count, conn_count + 16);
    bool loopback = broker_addr.ss_family == AF_INET &&
        ntohl(((struct sockaddr_in *)&broker_addr)->sin_addr.s_addr) >> 24 == 127;
    if (opt.src_addrs && !loopback)
        usage_error("--src-addrs needs a broker on 127.x.x.x");
    if (!opt.src_addrs && loopback && conn_count > PORTS_PER_SOURCE)
        opt.src_addrs = (conn_count + PORTS_PER_SOURCE - 1) / PORTS_PER_SOURCE;

    unsigned slots = 2;
    while (slots < opt.window * 2 && slots < 65536)
        slots *= 2;
    conns = alloc_zero(conn_count, sizeof *conns);
    pubs = conns + sub_count;
    woken = alloc_zero(opt.pubs, sizeof *woken);
    for (unsigned i = 0; i < conn_count; i++) {
        struct conn *c = &conns[i];
        c->role = mode == CONNECT ? IDLE : i < sub_count ? SUBSCRIBER : PUBLISHER;
        c->number = i < sub_count ? i : i - sub_count;
        c->index = opt.first + c->number;
        c->keepalive_ns = (u64)opt.keepalive * SEC / 4 * 3; /* PINGREQ in good time */
        c->window = opt.window;
        c->slot_mask = slots - 1;
        if (c->role == SUBSCRIBER)
            c->filter = expand(opt.filter, c->index);
        if (c->role == PUBLISHER)
            c->topic = expand(opt.topic, c->index);
        for (unsigned k = 0; c->role == PUBLISHER && k < sub_count; k++)
            c->fanout += filter_matches(conns[k].filter, c->topic);
        if (c->role == PUBLISHER && opt.qos)
            c->slots = alloc_zero(slots, sizeof *c->slots);
    }
}

static void on_signal(int signal_number)
{
    interrupted = signal_number;
}

int main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    check_options();
    if (mode != CONNECT)
        prepare_payload();
    if (opt.credentials)
        read_credentials();
    prepare_connections();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    run_id = (uint32_t)(clock_ns(CLOCK_REALTIME) ^ (u64)getpid() << 20);
    run();

    bool ok = !run_error[0] && !failed && !disconnected && !rejected;
    if (!opt.quiet)
        report(ok);
    fflush(stdout);
    if (run_error[0])
        fprintf(stderr, "mqload: %s\n", run_error);
    as_json = true;
    if (opt.json)
        report(ok);
    return ok ? 0 : 1;
}
