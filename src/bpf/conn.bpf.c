/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `conn`: what the connection tracker (net/netfilter) knows of each connection, with the process whose socket it is of.
 */
#include "event.bpf.h"
#include <bpf/bpf_endian.h>
#include "compat.bpf.h"

enum conn_kind {
	KIND_CONN_NEW = 7,
	KIND_CONN_UPDATE = 8,
	KIND_CONN_END = 9,
	KIND_CONN_OLD = 10,
};
EXPORT_TYPE(enum, conn_kind);

#include "filter.bpf.h"
#include "above.bpf.h"
#include "flow.bpf.h"
#include "owner.bpf.h"

/* Appends the name of the parent of the process that a flow is of. (What is above it was not kept.) */
static __always_inline void append_parent(struct scratch *s, struct event_head *head, const struct owner *owner)
{
	struct ancestor parent = { .pid = owner->ppid };
	u32 used = *(volatile u32 *)&s->used;

	if (!settings.parent || used > sizeof(s->record) - BEHIND_ALL)
		return;
	head->above = used;
	if (owner->is != OWNER_WANTED || !owner->ppid)
		return;
	__builtin_memcpy(parent.comm, owner->parent_comm, sizeof(parent.comm));
	__builtin_memcpy(s->record + used, &parent, sizeof(parent));
	head->ancestors = 1;
	*(volatile u32 *)&s->used = used + sizeof(parent);
}

/* Shows a flow, or counts that it is not wanted or lost. `flow` is in a map. */
static __noinline int show(void *ctx, u32 kind, u64 ct_address, struct flow *flow)
{
	struct nf_conn *ct = (void *)ct_address;
	struct counters *c = seen(kind);
	struct conn_event *e;
	struct scratch *s;
	struct label label;

	if (!c)
		return nothing();
	if (only_owned && flow->owner.is != OWNER_WANTED)
		goto filtered;
	s = scratch_take(c, sizeof(*e));
	if (!s)
		return nothing();
	e = (void *)s->record;
	read_flow(ct, e);
	if (!flow_is_wanted(e)) {
		scratch_release(s);
		goto filtered;
	}
	fill_owner(&e->head, &flow->owner);
	e->head.boot_ns = kind == KIND_CONN_NEW ? flow->began_ns : bpf_ktime_get_boot_ns();
	e->head.kind = kind;
	e->head.cpu = bpf_get_smp_processor_id();
	e->head.seq = next_seq(c);
	e->head.flags = e->head.ancestors = e->head.above = 0;
	e->head.label = (struct slice){};
	e->via = flow->via == VIA_INCOMING ? VIA_UNKNOWN : flow->via;
	e->duration_ns = kind == KIND_CONN_END && flow->began_ns ? e->head.boot_ns - flow->began_ns : NO_DURATION;
	/* Set right after it is inserted, or before, by the version of the kernel (__nf_conntrack_confirm). */
	e->status |= IPS_CONFIRMED;
	/* The next packet finds it in the status. */
	if (flow->replied)
		e->status |= IPS_SEEN_REPLY;
	label = flow->owner.label;
	append_parent(s, &e->head, &flow->owner);
	append_label(s, &e->head, &label);
	scratch_emit(ctx, c, s);
	return nothing();
filtered:
	COUNT(c->filtered);
	return nothing();
}

/*
 * Shows a flow for the first time. What has changed until it was marked as shown is shown as a change after it: on another
 * CPU, on_packet() has left that to this one.
 */
static __noinline int show_first(void *ctx, u32 kind, u64 ct, struct flow *flow)
{
	u64 status = flow->status;
	u8 state = flow->state;

	show(ctx, kind, ct, flow);
	*(volatile u8 *)&flow->shown = true;
	barrier();
	if (*(volatile u8 *)&flow->state != state || (*(volatile u64 *)&flow->status ^ status) & STATUS_SHOWN)
		show(ctx, KIND_CONN_UPDATE, ct, flow);
	return nothing();
}

/*
 * An incoming flow has found its process: it is shown now, if it has not been yet. Whoever takes it out of `waiting` is
 * the one that shows it.
 */
static __noinline int settle(void *ctx, u64 ct, u64 sk, u32 via)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &ct);
	struct owner *owner = bpf_map_lookup_elem(&owners, &sk);

	if (!flow || !owner || flow->via != VIA_INCOMING)
		return nothing();
	flow->owner = *owner;
	barrier();
	flow->via = via;
	forget_peer(ct);
	if (!bpf_map_delete_elem(&waiting, &ct))
		show_first(ctx, KIND_CONN_NEW, ct, flow);
	return nothing();
}

/* The flow that waits for the process of a socket, whose peer is this one. */
static __always_inline void settle_peer(void *ctx, const struct peer *peer, u64 sk, u32 via)
{
	u64 *ct = bpf_map_lookup_elem(&peers, peer);
	u64 address;

	if (ct) {
		address = *ct;
		settle(ctx, address, sk, via);
	}
}

/* A packet is about to make its flow known to the tracker. */
static __always_inline int on_confirm(struct sk_buff *skb)
{
	u64 ct = 0, sk = 0;
	struct flow flow = {};
	struct owner *owner;
	long err;

	READ_OR_COUNT(READ_PACKET, ct, &skb->_nfct);
	ct &= NFCT_PTRMASK;
	if (!ct)
		return 0;
	READ_OR_COUNT(READ_PACKET, sk, &skb->sk);
	if (sk) {
		owner = bpf_map_lookup_elem(&owners, &sk);
		if (owner) {
			flow.owner = *owner;
			flow.via = VIA_SOCKET;
		}
	}
	/* One that was received may have found a socket early, of which no process is known. */
	if (flow.via == VIA_UNKNOWN && BPF_CORE_READ(skb, skb_iif))
		flow.via = via_of_received(skb, (void *)ct);
	err = bpf_map_update_elem(&flows, &ct, &flow, BPF_ANY);
	if (err)
		count_failure(NO_ROOM_FLOWS, err);
	return 0;
}

/* An incoming flow of which no process is known yet: it is shown once there is one, or when its time is over. */
static __always_inline bool wait_for_owner(u64 ct, struct flow *flow)
{
	u64 now = flow->began_ns;
	struct peer peer;
	long err;

	if (!peer_of_flow((void *)ct, &peer))
		return false;
	if (!bpf_map_update_elem(&peers, &peer, &ct, BPF_NOEXIST)) {
		COUNT(peers_len);
	} else {
		/* One of another local address, or no room. */
		err = bpf_map_update_elem(&peers, &peer, &ct, BPF_ANY);
		if (err) {
			count_failure(NO_ROOM_PEERS, err);
			return false;
		}
	}
	if (!wait_ns && !only_owned)
		return false;
	err = bpf_map_update_elem(&waiting, &ct, &now, BPF_ANY);
	if (err)
		count_failure(NO_ROOM_PEERS, err);
	return !err;
}

/* The tracker knows a new flow. */
static __always_inline int on_insert(void *ctx, u64 ct)
{
	struct flow *flow = flow_of(ct, VIA_UNKNOWN);

	if (!flow)
		return 0;
	flow->began_ns = bpf_ktime_get_boot_ns();
	remember_state((void *)ct, flow);
	if (flow->via == VIA_INCOMING && has_sockets((void *)ct)) {
		owner_of_receiver((void *)ct, flow);
		if (flow->via == VIA_INCOMING && wait_for_owner(ct, flow))
			return 0;
	}
	show_first(ctx, KIND_CONN_NEW, ct, flow);
	return 0;
}

/* Nothing refers to a flow any more. */
static __always_inline int on_destroy(void *ctx, u64 nfct)
{
	u64 ct = nfct - bpf_core_field_offset(struct nf_conn, ct_general);
	struct flow *flow;
	u64 status = 0;

	READ_OR_COUNT(READ_STATUS, status, &((struct nf_conn *)ct)->status);
	if (status & IPS_CONFIRMED) {
		flow = flow_of(ct, VIA_EXISTING);
		if (!flow)
			return 0;
		if (flow->via == VIA_INCOMING) {
			owner_of_receiver((void *)ct, flow);
			forget_peer(ct);
		}
		if (flow->stand_in)
			flow->via = VIA_UNKNOWN;
		/* Its insertion was not seen: the tracker has others, too (nf_ct_resolve_clash_harder). */
		else if (!flow->began_ns && flow->via != VIA_EXISTING)
			flow->began_ns = bpf_ktime_get_boot_ns();
		if (!bpf_map_delete_elem(&waiting, &ct) ||
		    (!flow->shown && !flow->stand_in && flow->via != VIA_EXISTING))
			show(ctx, KIND_CONN_NEW, ct, flow);
		show(ctx, KIND_CONN_END, ct, flow);
	}
	bpf_map_delete_elem(&flows, &ct);
	return 0;
}

/* A packet of a flow was taken note of. `ctinfo`: include/uapi/linux/netfilter/nf_conntrack_common.h */
static __always_inline int on_packet(void *ctx, u64 ct, u32 ctinfo)
{
	u64 status = 0;
	struct flow *flow;
	bool first;

	READ_OR_COUNT(READ_STATUS, status, &((struct nf_conn *)ct)->status);
	if (!(status & IPS_CONFIRMED))
		return 0;
	flow = flow_of(ct, VIA_EXISTING);
	if (!flow || flow->stand_in)
		return 0;
	first = flow->via == VIA_EXISTING && !flow->status;
	if (ctinfo == IP_CT_ESTABLISHED_REPLY)
		flow->replied = true;
	/* What it was before the first packet is not known. */
	if (!remember_state((void *)ct, flow) || first)
		return 0;
	/* A flow that is yet to be shown is shown as it is then; one that was there before is known from here on. */
	if (flow->shown || flow->via == VIA_EXISTING)
		show(ctx, KIND_CONN_UPDATE, ct, flow);
	return 0;
}

/* The kernel writes a flow for coretrace itself, which reads /proc/net/nf_conntrack when it begins. */
static __always_inline int on_listed(void *ctx, struct seq_file *list, u64 hash)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct event_head head = {};
	u64 ct = hash - bpf_core_field_offset(struct nf_conn, tuplehash), net = 0, listed = 0, status = 0;
	struct flow *flow;
	u8 direction = 0;

	fill_ids(false, task, &head);
	if (head.pid != own_pid)
		return 0;
	/* Each flow is there twice: once for each direction. */
	READ_OR_COUNT(READ_TUPLE, direction, &((struct nf_conntrack_tuple_hash *)hash)->tuple.dst.dir);
	if (direction)
		return 0;
	/* The kernel goes through those of all namespaces, and leaves out the others (struct seq_net_private begins with its own). */
	READ_OR_COUNT(READ_NETNS, net, &((struct nf_conn *)ct)->ct_net.net);
	bpf_probe_read_kernel(&listed, sizeof(listed), BPF_CORE_READ(list, private));
	READ_OR_COUNT(READ_STATUS, status, &((struct nf_conn *)ct)->status);
	if (net != listed || !(status & IPS_CONFIRMED) || status & IPS_DYING)
		return 0;
	flow = flow_of(ct, VIA_EXISTING);
	/* Else it is a new one, or was listed before. */
	if (!flow || flow->stand_in || flow->shown || flow->via != VIA_EXISTING)
		return 0;
	remember_state((void *)ct, flow);
	owner_of_existing((void *)ct, flow);
	show_first(ctx, KIND_CONN_OLD, ct, flow);
	return 0;
}

/* The current task connects a socket. */
static __always_inline int on_connect(u64 sk)
{
	take_owner(sk);
	return 0;
}

/* The current task sends by a socket that may not be connected: this may be the first answer to a flow. */
static __always_inline int on_send(void *ctx, u64 sk, struct msghdr *msg)
{
	struct peer peer;

	take_owner(sk);
	if (peers_len && peer_of_message((void *)sk, msg, &peer))
		settle_peer(ctx, &peer, sk, VIA_SOCKET);
	return 0;
}

/* The current task receives by a datagram socket: what comes in there is its. */
static __always_inline int on_receive(void *ctx, u64 sk)
{
	struct peer peer;

	take_owner(sk);
	receives(sk);
	if (peers_len && peer_of_socket((void *)sk, &peer))
		settle_peer(ctx, &peer, sk, VIA_SOCKET);
	return 0;
}

/* The current task has accepted a connection. */
static __always_inline int on_accept(void *ctx, u64 sk)
{
	u16 family = BPF_CORE_READ((struct sock *)sk, __sk_common.skc_family);
	struct peer peer;

	if (family != AF_INET && family != AF_INET6)
		return 0;
	take_owner(sk);
	if (peer_of_socket((void *)sk, &peer))
		settle_peer(ctx, &peer, sk, VIA_ACCEPT);
	return 0;
}

/* A socket's memory is about to be another's. */
static __always_inline int on_socket_end(u64 sk)
{
	bpf_map_delete_elem(&owners, &sk);
	return 0;
}

/* One program for each function by its types, and one for several functions by kprobes. */

SEC("fentry")
int conn_confirm_fentry(u64 *ctx)
{
	return on_confirm((void *)ctx[0]);
}

SEC("kprobe")
int BPF_KPROBE(conn_confirm, struct sk_buff *skb)
{
	return on_confirm(skb);
}

SEC("fentry")
int conn_insert_fentry(u64 *ctx)
{
	return on_insert(ctx, ctx[0]);
}

SEC("kprobe")
int BPF_KPROBE(conn_insert, u64 ct)
{
	return on_insert(ctx, ct);
}

SEC("fentry")
int conn_destroy_fentry(u64 *ctx)
{
	return on_destroy(ctx, ctx[0]);
}

SEC("kprobe")
int BPF_KPROBE(conn_destroy, u64 nfct)
{
	return on_destroy(ctx, nfct);
}

SEC("fentry")
int conn_packet_fentry(u64 *ctx)
{
	return on_packet(ctx, ctx[0], ctx[1]);
}

SEC("kprobe")
int BPF_KPROBE(conn_packet, u64 ct, u32 ctinfo)
{
	return on_packet(ctx, ct, ctinfo);
}

SEC("fentry")
int conn_listed_fentry(u64 *ctx)
{
	return on_listed(ctx, (void *)ctx[0], ctx[1]);
}

SEC("kprobe")
int BPF_KPROBE(conn_listed, struct seq_file *list, u64 hash)
{
	return on_listed(ctx, list, hash);
}

#define ON_CONNECT(name)          \
	SEC("fentry")             \
	int name(u64 *ctx)        \
	{                         \
		return on_connect(ctx[0]); \
	}
ON_CONNECT(conn_tcp4_fentry)
ON_CONNECT(conn_tcp6_fentry)
ON_CONNECT(conn_sctp_fentry)

SEC("kprobe")
int BPF_KPROBE(conn_connect, u64 sk)
{
	return on_connect(sk);
}

#define ON_SEND(name)             \
	SEC("fentry")             \
	int name(u64 *ctx)        \
	{                         \
		return on_send(ctx, ctx[0], (void *)ctx[1]); \
	}
ON_SEND(conn_udp4_fentry)
ON_SEND(conn_udp6_fentry)
ON_SEND(conn_raw4_fentry)
ON_SEND(conn_raw6_fentry)
ON_SEND(conn_ping4_fentry)
ON_SEND(conn_ping6_fentry)
ON_SEND(conn_sctp_send_fentry)

SEC("kprobe")
int BPF_KPROBE(conn_send, u64 sk, struct msghdr *msg)
{
	return on_send(ctx, sk, msg);
}

#define ON_RECEIVE(name)          \
	SEC("fentry")             \
	int name(u64 *ctx)        \
	{                         \
		return on_receive(ctx, ctx[0]); \
	}
ON_RECEIVE(conn_recv4_fentry)
ON_RECEIVE(conn_recv6_fentry)

SEC("kprobe")
int BPF_KPROBE(conn_receive, u64 sk)
{
	return on_receive(ctx, sk);
}

SEC("fentry")
int conn_accept_fentry(u64 *ctx)
{
	return on_accept(ctx, ctx[0]);
}

SEC("kprobe")
int BPF_KPROBE(conn_accept, u64 sk)
{
	return on_accept(ctx, sk);
}

SEC("fentry")
int conn_socket_end_fentry(u64 *ctx)
{
	return on_socket_end(ctx[0]);
}

SEC("kprobe")
int BPF_KPROBE(conn_socket_end, u64 sk)
{
	return on_socket_end(sk);
}

/*
 * Attached to nothing: coretrace runs it for a flow whose process is not known, when it has waited long enough
 * (BPF_PROG_TEST_RUN of raw tracepoints, since 5.10). `ctx`: the flow's address.
 */
SEC("raw_tp")
int conn_waited(u64 *ctx)
{
	u64 ct = ctx[0];
	struct flow *flow = bpf_map_lookup_elem(&flows, &ct);

	if (!flow)
		return 0;
	owner_of_receiver((void *)ct, flow);
	/* Without a process it would be refused, and one may still come. */
	if ((only_owned && flow->via == VIA_INCOMING) || bpf_map_delete_elem(&waiting, &ct))
		return 0;
	if (flow->via == VIA_SOCKET)
		forget_peer(ct);
	show_first(ctx, KIND_CONN_NEW, ct, flow);
	return 0;
}

/* The sockets that there are when coretrace begins: whose they are. */
SEC("iter/task_file")
int conn_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (task && file)
		on_existing_socket(task, file);
	return 0;
}
