/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows: the connections that the connection tracker knows. What is read of `struct nf_conn`, the filters for it, and
 * the map of those that there are.
 */
#pragma once
#include "filter.bpf.h"

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10
/* include/uapi/linux/in.h */
#define IPPROTO_DCCP_NR 33
/* include/uapi/linux/netfilter/nf_conntrack_common.h: enum ip_conntrack_status, enum ip_conntrack_info */
#define IPS_SEEN_REPLY 0x0002
#define IPS_ASSURED 0x0004
#define IPS_CONFIRMED 0x0008
#define IPS_NAT_MASK 0x0030
#define IPS_DYING 0x0200
#define IP_CT_ESTABLISHED_REPLY 3
/* The changes that are shown. */
#define STATUS_SHOWN (IPS_SEEN_REPLY | IPS_ASSURED | IPS_NAT_MASK | IPS_DYING)
/* include/linux/skbuff.h: the lower bits of skb->_nfct are the packet's ctinfo */
#define NFCT_PTRMASK (~7ULL)

#define NO_DURATION (~0ULL)

/* How the process of a flow was found. */
enum conn_via {
	VIA_UNKNOWN,
	VIA_SOCKET,    /* it sends or receives by the socket that the flow is of */
	VIA_ACCEPT,    /* it has accepted the connection */
	VIA_EXISTING,  /* the flow was there before coretrace */
	VIA_FORWARDED, /* no process of this host has a part in it */
	VIA_INCOMING,  /* in the map of flows alone: not known yet */
};
EXPORT_TYPE(enum, conn_via);

/* What is read of the kernel's memory, or kept, and may fail. The first ones are bits of head.unread, too. */
enum conn_place {
	READ_TUPLE,
	READ_STATUS,
	READ_STATE,
	READ_NETNS,
	READ_ZONE,
	READ_MARK,
	READ_COUNTERS,
	READ_PACKET,
	READ_SOCKET,
	READ_ADDRESS,
	NO_ROOM_FLOWS,
	NO_ROOM_PEERS,
	NO_ROOM_OWNERS,
	CONN_PLACES,
};
EXPORT_TYPE(enum, conn_place);

/* What a kernel may have, or not. */
enum conn_there {
	THERE_ZONE = 1,
	THERE_MARK = 2,
	THERE_COUNTERS = 4,
};
EXPORT_TYPE(enum, conn_there);

/* Addresses and ports: of the original direction, source and destination, then those of the replies. */
struct conn_event {
	struct event_head head;
	u64 duration_ns;
	u64 status;
	u64 counters[4]; /* packets and bytes of the original direction, then of the replies */
	u8 addresses[4][16];
	u16 ports[4]; /* of ICMP, the first is its id */
	u32 netns;
	u32 mark;
	u16 zone;
	u8 family;
	u8 proto;
	u8 state;
	u8 via; /* enum conn_via */
	u8 icmp_type;
	u8 icmp_code;
	u32 there; /* enum conn_there */
	u32 reserved;
};
EXPORT_TYPE(struct, conn_event);

#define ERRNOS 64
/* include/uapi/asm-generic/errno-base.h */
#define EINVAL 22

/* How often a read or an entry into a map failed, by place and errno. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CONN_PLACES * ERRNOS);
	__type(key, u32);
	__type(value, u64);
} failures SEC(".maps");

static __noinline int count_failure(u32 place, long err)
{
	u32 errno = -err & (ERRNOS - 1), row = place * ERRNOS + errno;
	u64 *count = bpf_map_lookup_elem(&failures, &row);

	if (count)
		COUNT(*count);
	return nothing();
}

/* Reads kernel memory into a variable; counts it if that fails, and returns whether it did not. */
#define READ_OR_COUNT(place, to, from)                                    \
	({                                                                \
		long __err = bpf_core_read(&(to), sizeof(to), from);      \
		if (__err)                                                \
			count_failure(place, __err);                      \
		!__err;                                                   \
	})

enum owner_is {
	OWNER_UNKNOWN,
	OWNER_WANTED,
	OWNER_REFUSED, /* the options exclude it */
};

/* The process whose socket it is, as it was when it acted. */
struct owner {
	u64 cgroup_id;
	u64 ids; /* as the kernel numbers them */
	u32 pid;
	u32 tid;
	u32 ppid;
	u32 uid;
	u32 gid;
	u32 is; /* enum owner_is */
	u32 receives; /* how often it received since its socket was put into `receivers`; 0: it is not there */
	u32 reserved;
	u8 comm[COMM_LEN];
	u8 parent_comm[COMM_LEN]; /* settings.parent */
	struct label label;
};

struct flow {
	u64 began_ns; /* 0: before coretrace */
	u64 status;
	struct owner owner;
	u32 via; /* enum conn_via */
	u8 state;
	u8 replied; /* a reply was seen, which the status does not have yet */
	u8 shown; /* what comes next is a change */
	u8 stand_in; /* there was no room for it */
};

/* By the address of its struct nf_conn, which is another's only after it was destroyed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* sized by user space before load: 168 bytes each */
	__type(key, u64);
	__type(value, struct flow);
} flows SEC(".maps");

/* Stands for a flow that found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow);
} no_flow SEC(".maps");

/* The flow of that address; one without a process where there is none yet. */
static __noinline struct flow *flow_of(u64 ct, u32 via)
{
	struct flow fresh = { .via = via }, *flow = bpf_map_lookup_elem(&flows, &ct);
	u32 zero = 0;
	long err;

	if (flow)
		return flow;
	err = bpf_map_update_elem(&flows, &ct, &fresh, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flows, &ct);
	if (flow)
		return flow;
	count_failure(NO_ROOM_FLOWS, err);
	fresh.stand_in = true;
	flow = bpf_map_lookup_elem(&no_flow, &zero);
	if (flow)
		*flow = fresh;
	return flow;
}

/* Of protocols whose flows end in a socket of their own. */
static __always_inline bool is_connection(u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_SCTP || proto == IPPROTO_DCCP_NR;
}

static __always_inline bool is_datagram(u8 proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
}

static __always_inline u8 proto_of(const struct nf_conn *ct)
{
	u8 proto = 0;

	READ_OR_COUNT(READ_TUPLE, proto, &ct->tuplehash[0].tuple.dst.protonum);
	return proto;
}

static __always_inline bool has_sockets(const struct nf_conn *ct)
{
	u8 proto = proto_of(ct);

	return is_connection(proto) || is_datagram(proto);
}

/* The state of a protocol that has some (include/net/netfilter/nf_conntrack.h: union nf_conntrack_proto). */
static __always_inline bool read_state(const struct nf_conn *ct, u8 proto, u8 *state)
{
	enum sctp_conntrack sctp = 0;
	bool read = true;

	*state = 0;
	if (proto == IPPROTO_TCP) {
		read = READ_OR_COUNT(READ_STATE, *state, &ct->proto.tcp.state);
	} else if (proto == IPPROTO_SCTP) {
		read = READ_OR_COUNT(READ_STATE, sctp, &ct->proto.sctp.state);
		*state = sctp;
	}
	return read;
}

/* Remembers the state and the status of a flow; returns whether they have changed in a way that is shown. */
static __noinline u32 remember_state(const struct nf_conn *ct, struct flow *flow)
{
	u64 status = 0, before = flow->status;
	u8 state, state_before = flow->state;

	READ_OR_COUNT(READ_STATUS, status, &ct->status);
	read_state(ct, proto_of(ct), &state);
	if (flow->replied)
		status |= IPS_SEEN_REPLY;
	flow->status = status;
	flow->state = state;
	return state != state_before || (status ^ before) & STATUS_SHOWN;
}

/*
 * The counters of a flow, where accounting is on: four numbers in one of its extensions
 * (include/net/netfilter/nf_conntrack_extend.h: nf_ct_ext_find; nf_conntrack_acct.h: struct nf_conn_acct).
 */
static __always_inline void read_counters(const struct nf_conn *ct, struct conn_event *e)
{
	struct nf_ct_ext *ext = NULL;
	u8 offset = 0;
	long err;

	if (!bpf_core_enum_value_exists(enum nf_ct_ext_id, NF_CT_EXT_ACCT))
		return;
	if (!READ_OR_COUNT(READ_COUNTERS, ext, &ct->ext)) {
		e->head.unread |= 1 << READ_COUNTERS;
		return;
	}
	if (!ext)
		return;
	err = bpf_probe_read_kernel(&offset, sizeof(offset),
				    (void *)ext + bpf_core_field_offset(struct nf_ct_ext, offset) +
					    bpf_core_enum_value(enum nf_ct_ext_id, NF_CT_EXT_ACCT));
	if (!err && !offset)
		return;
	e->there |= THERE_COUNTERS;
	if (!err)
		err = bpf_probe_read_kernel(e->counters, sizeof(e->counters), (void *)ext + offset);
	if (err) {
		count_failure(READ_COUNTERS, err);
		e->head.unread |= 1 << READ_COUNTERS;
	}
}

/* Reads into a field of the event; marks it as unread where that fails. */
#define READ_FIELD(place, to, from)                                 \
	do {                                                        \
		if (!READ_OR_COUNT(place, to, from))                \
			e->head.unread |= 1 << (place);             \
	} while (0)

static __always_inline void read_tuples(const struct nf_conn *ct, struct conn_event *e)
{
	u16 l3num = 0;

	READ_FIELD(READ_TUPLE, l3num, &ct->tuplehash[0].tuple.src.l3num);
	e->family = l3num;
	READ_FIELD(READ_TUPLE, e->proto, &ct->tuplehash[0].tuple.dst.protonum);
	READ_FIELD(READ_TUPLE, e->addresses[0], &ct->tuplehash[0].tuple.src.u3);
	READ_FIELD(READ_TUPLE, e->addresses[1], &ct->tuplehash[0].tuple.dst.u3);
	READ_FIELD(READ_TUPLE, e->addresses[2], &ct->tuplehash[1].tuple.src.u3);
	READ_FIELD(READ_TUPLE, e->addresses[3], &ct->tuplehash[1].tuple.dst.u3);
	READ_FIELD(READ_TUPLE, e->ports[0], &ct->tuplehash[0].tuple.src.u.all);
	READ_FIELD(READ_TUPLE, e->ports[1], &ct->tuplehash[0].tuple.dst.u.all);
	READ_FIELD(READ_TUPLE, e->ports[2], &ct->tuplehash[1].tuple.src.u.all);
	READ_FIELD(READ_TUPLE, e->ports[3], &ct->tuplehash[1].tuple.dst.u.all);
	/* The two bytes of ICMP, in their order in memory. */
	e->icmp_type = ((u8 *)e->ports)[2];
	e->icmp_code = ((u8 *)e->ports)[3];
	for (u32 i = 0; i < 4; i++)
		e->ports[i] = bpf_ntohs(e->ports[i]);
}

/* Reads all that an event has of a flow. */
static __noinline int read_flow(const struct nf_conn *ct, struct conn_event *e)
{
	struct net *net = NULL;

	e->head.unread = 0;
	e->there = 0;
	e->reserved = 0;
	e->netns = e->mark = e->zone = 0;
	e->status = 0;
	__builtin_memset(e->counters, 0, sizeof(e->counters));
	read_tuples(ct, e);
	READ_FIELD(READ_STATUS, e->status, &ct->status);
	if (!read_state(ct, e->proto, &e->state))
		e->head.unread |= 1 << READ_STATE;
	READ_FIELD(READ_NETNS, net, &ct->ct_net.net);
	if (net) {
		READ_FIELD(READ_NETNS, e->netns, &net->ns.inum);
	} else if (!(e->head.unread & 1 << READ_NETNS)) {
		/* Every flow is in one: it was read from the wrong place. */
		count_failure(READ_NETNS, -EINVAL);
		e->head.unread |= 1 << READ_NETNS;
	}
	/* CONFIG_NF_CONNTRACK_ZONES, CONFIG_NF_CONNTRACK_MARK */
	if (bpf_core_field_exists(ct->zone)) {
		e->there |= THERE_ZONE;
		READ_FIELD(READ_ZONE, e->zone, &ct->zone.id);
	}
	if (bpf_core_field_exists(ct->mark)) {
		e->there |= THERE_MARK;
		READ_FIELD(READ_MARK, e->mark, &ct->mark);
	}
	read_counters(ct, e);
	return nothing();
}

#define PORTS_MAX 8
#define NETS_MAX 8
#define NAMESPACES_MAX 8

/* Addresses of one network. */
struct network {
	u64 address[2];
	u64 mask[2];
	u64 family;
};
EXPORT_TYPE(struct, network);

const volatile u32 ports_len = 0;
const volatile u32 networks_len = 0;
const volatile u32 namespaces_len = 0;
const volatile u32 filter_protos = 0;
const volatile u32 only_nat = 0;
/* Only flows of processes that pass the filters. */
const volatile u32 only_owned = 0;
/* Coretrace's own process. */
const volatile u32 own_pid = 0;
/* How long an incoming flow is kept until its process is known. */
const volatile u64 wait_ns = 0;
const volatile u64 protos[4] = {};
const volatile u16 ports[PORTS_MAX] = {};
const volatile u32 namespaces[NAMESPACES_MAX] = {};
const volatile struct network networks[NETS_MAX] = {};

static __noinline u32 port_matches(const struct conn_event *e)
{
	for (u32 i = 0; i < PORTS_MAX; i++) {
		if (i >= ports_len)
			break;
		for (u32 n = 0; n < 4; n++) {
			if (e->ports[n] == ports[i])
				return true;
		}
	}
	return false;
}

static __noinline u32 network_matches(const struct conn_event *e)
{
	for (u32 i = 0; i < NETS_MAX; i++) {
		if (i >= networks_len)
			break;
		for (u32 n = 0; n < 4; n++) {
			const u64 *address = (const void *)e->addresses[n];

			if (e->family == networks[i].family && (address[0] & networks[i].mask[0]) == networks[i].address[0] &&
			    (address[1] & networks[i].mask[1]) == networks[i].address[1])
				return true;
		}
	}
	return false;
}

static __noinline u32 namespace_matches(const struct conn_event *e)
{
	for (u32 i = 0; i < NAMESPACES_MAX; i++) {
		if (i >= namespaces_len)
			break;
		if (e->netns == namespaces[i])
			return true;
	}
	return false;
}

/* Whether the protocol has ports; of others, the tuples have something else there. */
static __always_inline bool has_ports(u8 proto)
{
	return is_connection(proto) || is_datagram(proto);
}

/* Whether the options ask for such a flow. What could not be read may be anything. */
static __always_inline bool flow_is_wanted(const struct conn_event *e)
{
	bool known = !(e->head.unread & (1 << READ_TUPLE));

	if (filter_protos && known && !(protos[e->proto >> 6] & (1ULL << (e->proto & 63))))
		return false;
	if (ports_len && known && !(has_ports(e->proto) && port_matches(e)))
		return false;
	if (networks_len && known && !network_matches(e))
		return false;
	if (namespaces_len && !(e->head.unread & (1 << READ_NETNS)) && !namespace_matches(e))
		return false;
	if (only_nat && !(e->head.unread & (1 << READ_STATUS)) && !(e->status & IPS_NAT_MASK))
		return false;
	return true;
}
