/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose flows are: the processes of sockets, and how a flow is joined to the socket at its end.
 *
 * A packet that is sent has its socket. One that comes in has none when the tracker sees it: its flow waits for the
 * process that accepts the connection, or answers.
 */
#pragma once
#include "flow.bpf.h"

/* include/uapi/linux/if_ether.h */
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
/* include/uapi/linux/rtnetlink.h */
#define RTN_LOCAL 2
#define RTN_BROADCAST 3
#define RTN_MULTICAST 5
/* include/uapi/linux/ipv6_route.h */
#define RTF_ANYCAST 0x00100000
#define RTF_LOCAL 0x80000000
/* include/linux/skbuff.h: the lowest bit of skb->_skb_refdst is a flag */
#define SKB_DST_PTRMASK (~1ULL)
/* include/uapi/linux/stat.h */
#define S_IFMT 0170000
#define S_IFSOCK 0140000

/* By the socket's address, until the socket ends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* sized by user space before load */
	__type(key, u64);
	__type(value, struct owner);
} owners SEC(".maps");

/*
 * One end of a flow as its socket sees it: the same key from a flow and from a socket. Addresses of IPv4 are mapped ones
 * of IPv6, as a socket of IPv6 may have both.
 */
struct peer {
	u64 net; /* address of the network namespace */
	u8 remote[16];
	u16 local_port;
	u16 remote_port;
	u32 proto;
};

/* Incoming flows of which no process is known yet, by their peers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct peer);
	__type(value, u64);
} peers SEC(".maps");

/* How many there are: without any, none is looked for. */
u64 peers_len = 0;

/* Those of them that were not shown yet, and since when they wait. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u64);
} waiting SEC(".maps");

/* Of which family an address is that means any: a socket of IPv6 may receive what is sent to IPv4, too. */
enum any { ANY_NOT, ANY_IPV4, ANY_IPV6, ANY_BOTH };

/* Where datagrams are received. */
struct endpoint {
	u64 net;
	u8 address[16]; /* zero: any */
	u16 port;
	u16 any; /* enum any */
	u32 proto;
};

struct receiver {
	u64 sk;
	u64 several; /* more than one socket receives there: it is not known which */
};

/* A socket has lost its port when it ends (udp_lib_unhash): what is not used any more makes room for others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct endpoint);
	__type(value, struct receiver);
} receivers SEC(".maps");

/* Sockets that were there when coretrace began. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct peer);
	__type(value, u64);
} existing SEC(".maps");

static __always_inline void map_ipv4(u8 address[16], u32 ipv4)
{
	__builtin_memset(address, 0, 16);
	address[10] = address[11] = 0xff;
	*(u32 *)(address + 12) = ipv4;
}

/* Reads an address of a tuple. */
static __always_inline bool read_address(u8 to[16], u16 family, const union nf_inet_addr *from)
{
	u32 ipv4 = 0;
	bool read;

	if (family == AF_INET) {
		read = READ_OR_COUNT(READ_TUPLE, ipv4, &from->ip);
		map_ipv4(to, ipv4);
	} else {
		long err = bpf_core_read(to, 16, from);

		read = !err;
		if (err)
			count_failure(READ_TUPLE, err);
	}
	return read;
}

static __always_inline u32 read_port(const __be16 *from)
{
	u16 port = 0;

	READ_OR_COUNT(READ_TUPLE, port, from);
	return bpf_ntohs(port);
}

/*
 * One end of a flow, as a socket there sees it: that of the sender, by the original direction, or that of the receiver, by
 * the replies (`reply` is 0 or 1).
 */
static __noinline u32 peer_of(const struct nf_conn *ct, u32 reply, struct peer *peer)
{
	const struct nf_conntrack_tuple *tuple = reply ? &ct->tuplehash[1].tuple : &ct->tuplehash[0].tuple;
	struct net *net = NULL;
	u16 family = 0;

	__builtin_memset(peer, 0, sizeof(*peer));
	if (!READ_OR_COUNT(READ_TUPLE, family, &tuple->src.l3num) ||
	    !READ_OR_COUNT(READ_NETNS, net, &ct->ct_net.net) || !read_address(peer->remote, family, &tuple->dst.u3))
		return false;
	peer->net = (u64)net;
	peer->proto = proto_of(ct);
	peer->local_port = read_port(&tuple->src.u.all);
	peer->remote_port = read_port(&tuple->dst.u.all);
	return true;
}

static __always_inline u32 peer_of_flow(const struct nf_conn *ct, struct peer *peer)
{
	return peer_of(ct, true, peer);
}

static __always_inline u32 peer_of_sender(const struct nf_conn *ct, struct peer *peer)
{
	return peer_of(ct, false, peer);
}

static __always_inline u8 socket_proto(const struct sock *sk)
{
	u16 proto = 0;

	READ_OR_COUNT(READ_SOCKET, proto, &sk->sk_protocol);
	return proto;
}

/* The peer of a connected socket; false if it has none. */
static __noinline u32 peer_of_socket(const struct sock *sk, struct peer *peer)
{
	u16 family = 0, port = 0;
	struct net *net = NULL;
	u32 ipv4 = 0;

	__builtin_memset(peer, 0, sizeof(*peer));
	if (!READ_OR_COUNT(READ_SOCKET, family, &sk->__sk_common.skc_family) ||
	    !READ_OR_COUNT(READ_SOCKET, port, &sk->__sk_common.skc_dport) || !port ||
	    !READ_OR_COUNT(READ_SOCKET, net, &sk->__sk_common.skc_net.net))
		return false;
	if (family == AF_INET) {
		READ_OR_COUNT(READ_SOCKET, ipv4, &sk->__sk_common.skc_daddr);
		map_ipv4(peer->remote, ipv4);
	} else if (family == AF_INET6) {
		READ_OR_COUNT(READ_SOCKET, peer->remote, &sk->__sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	peer->net = (u64)net;
	peer->proto = socket_proto(sk);
	peer->remote_port = bpf_ntohs(port);
	READ_OR_COUNT(READ_SOCKET, peer->local_port, &sk->__sk_common.skc_num);
	return true;
}

/* To whom a message is sent: it is addressed, or its socket is connected. */
static __noinline u32 peer_of_message(const struct sock *sk, const struct msghdr *msg, struct peer *peer)
{
	struct sockaddr_in6 name = {};
	void *address = NULL;
	struct net *net = NULL;
	long err;

	READ_OR_COUNT(READ_SOCKET, address, &msg->msg_name);
	if (!address)
		return peer_of_socket(sk, peer);
	__builtin_memset(peer, 0, sizeof(*peer));
	/* An address of IPv4 is shorter, but in a buffer for any (struct sockaddr_storage, net/socket.c). */
	err = bpf_probe_read_kernel(&name, sizeof(name), address);
	if (err) {
		count_failure(READ_ADDRESS, err);
		return false;
	}
	if (name.sin6_family == AF_INET)
		map_ipv4(peer->remote, ((struct sockaddr_in *)&name)->sin_addr.s_addr);
	else if (name.sin6_family == AF_INET6)
		__builtin_memcpy(peer->remote, &name.sin6_addr, sizeof(peer->remote));
	else
		return false;
	READ_OR_COUNT(READ_SOCKET, net, &sk->__sk_common.skc_net.net);
	READ_OR_COUNT(READ_SOCKET, peer->local_port, &sk->__sk_common.skc_num);
	peer->net = (u64)net;
	peer->proto = socket_proto(sk);
	peer->remote_port = bpf_ntohs(name.sin6_port);
	return true;
}

static __always_inline void take_parent(struct owner *owner, struct task_struct *task)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);

	owner->ppid = process_id(false, parent);
	if (settings.parent)
		bpf_core_read(owner->parent_comm, sizeof(owner->parent_comm), &parent->comm);
}

/* Takes the current task for the process of a socket. */
static __noinline int take_owner(u64 sk)
{
	struct owner *known = bpf_map_lookup_elem(&owners, &sk), owner = {};
	struct subject who = subject_of(false, (void *)bpf_get_current_task(), false);
	struct event_head head = {};
	const u64 *before, *now = (const void *)owner.comm;
	long err;

	owner.ids = bpf_get_current_pid_tgid();
	bpf_get_current_comm(owner.comm, sizeof(owner.comm));
	if (known && known->ids >> 32 == owner.ids >> 32 && known->uid == (u32)bpf_get_current_uid_gid() &&
	    (known->is == OWNER_WANTED || !only_owned)) {
		before = (const void *)known->comm;
		if (before[0] == now[0] && before[1] == now[1])
			return nothing();
	}
	fill_ids(false, who.task, &head);
	if (passes(false, &who, &head, &owner.label, false, false, true) && !(head.flags & HEAD_HEARTBEAT))
		owner.is = OWNER_WANTED;
	else
		owner.is = OWNER_REFUSED;
	owner.pid = head.pid;
	owner.tid = head.tid;
	take_parent(&owner, who.task);
	owner.uid = head.uid;
	owner.gid = head.gid;
	owner.cgroup_id = head.cgroup_id;
	err = bpf_map_update_elem(&owners, &sk, &owner, BPF_ANY);
	if (err)
		count_failure(NO_ROOM_OWNERS, err);
	return nothing();
}

/* Process ids of an event that no process is known of: none is so high (include/linux/threads.h: PID_MAX_LIMIT). */
#define NO_PROCESS (~0U)

static __always_inline void fill_owner(struct event_head *head, const struct owner *owner)
{
	if (owner->is == OWNER_WANTED) {
		head->pid = owner->pid;
		head->tid = owner->tid;
		head->ppid = owner->ppid;
		head->uid = owner->uid;
		head->gid = owner->gid;
		head->cgroup_id = owner->cgroup_id;
		__builtin_memcpy(head->comm, owner->comm, sizeof(head->comm));
	} else {
		head->pid = head->tid = head->ppid = head->uid = head->gid = NO_PROCESS;
		head->cgroup_id = 0;
		__builtin_memset(head->comm, 0, sizeof(head->comm));
	}
}

/* Takes a flow from those whose process is looked for. */
static __noinline int forget_peer(u64 ct)
{
	struct peer peer;
	u64 *found;

	if (!peer_of_flow((void *)ct, &peer))
		return nothing();
	found = bpf_map_lookup_elem(&peers, &peer);
	if (found && *found == ct && !bpf_map_delete_elem(&peers, &peer))
		__sync_fetch_and_add(&peers_len, -1);
	return nothing();
}

static __always_inline bool is_zero(const u8 address[16])
{
	const u64 *halves = (const void *)address;

	return !(halves[0] | halves[1]);
}

/* Where an unconnected datagram socket receives; false if it is none, or receives nowhere yet. */
static __noinline u32 endpoint_of_socket(const struct sock *sk, struct endpoint *end)
{
	u16 family = 0, port = 0, remote_port = 0;
	struct net *net = NULL;
	u32 ipv4 = 0;

	__builtin_memset(end, 0, sizeof(*end));
	READ_OR_COUNT(READ_SOCKET, family, &sk->__sk_common.skc_family);
	READ_OR_COUNT(READ_SOCKET, port, &sk->__sk_common.skc_num);
	READ_OR_COUNT(READ_SOCKET, remote_port, &sk->__sk_common.skc_dport);
	READ_OR_COUNT(READ_SOCKET, net, &sk->__sk_common.skc_net.net);
	if (!port || remote_port)
		return false;
	if (family == AF_INET) {
		READ_OR_COUNT(READ_SOCKET, ipv4, &sk->__sk_common.skc_rcv_saddr);
		if (ipv4)
			map_ipv4(end->address, ipv4);
		else
			end->any = ANY_IPV4;
	} else if (family == AF_INET6) {
		READ_OR_COUNT(READ_SOCKET, end->address, &sk->__sk_common.skc_v6_rcv_saddr);
		if (is_zero(end->address))
			end->any = BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only) ? ANY_IPV6 : ANY_BOTH;
	} else {
		return false;
	}
	end->net = (u64)net;
	end->port = port;
	end->proto = socket_proto(sk);
	return is_datagram(end->proto);
}

/* Whether a socket still receives there. */
static __always_inline bool receives_at(u64 sk, const struct endpoint *end)
{
	struct endpoint now;

	return endpoint_of_socket((void *)sk, &now) && now.net == end->net && now.port == end->port &&
	       now.proto == end->proto && now.any == end->any;
}

/* Puts a socket into `receivers`; false: it receives nowhere, or is not the only one there. */
static __noinline u32 take_receiver(const struct sock *sk)
{
	struct receiver fresh = { .sk = (u64)sk }, *known;
	struct endpoint end;
	long err;

	if (!endpoint_of_socket(sk, &end))
		return false;
	known = bpf_map_lookup_elem(&receivers, &end);
	if (known && known->sk == (u64)sk)
		return !known->several;
	if (known && receives_at(known->sk, &end)) {
		known->several = true;
		return false;
	}
	err = bpf_map_update_elem(&receivers, &end, &fresh, BPF_ANY);
	if (err)
		count_failure(NO_ROOM_OWNERS, err);
	return !err;
}

/* After so many datagrams it is looked again: entries make room for others, and sockets are bound again. */
#define LOOK_AGAIN 256

/* The socket of a known process receives. */
static __always_inline void receives(u64 sk)
{
	struct owner *owner = bpf_map_lookup_elem(&owners, &sk);
	u32 before = owner ? owner->receives : 0;

	if (before && before < LOOK_AGAIN) {
		owner->receives = before + 1;
		return;
	}
	before = take_receiver((void *)sk);
	owner = bpf_map_lookup_elem(&owners, &sk);
	if (owner)
		owner->receives = before;
}

/* Whether a socket receives there, and its process, if it is the only one. */
static __always_inline bool receiver_at(const struct endpoint *end, struct owner **owner)
{
	struct receiver *known = bpf_map_lookup_elem(&receivers, end);
	u64 sk;

	*owner = NULL;
	if (!known)
		return false;
	sk = known->sk;
	if (!receives_at(sk, end))
		return false;
	if (!known->several)
		*owner = bpf_map_lookup_elem(&owners, &sk);
	return true;
}

/*
 * The process of the socket that receives what is sent to one address of a tuple. Sockets of that address come before those
 * of any (net/ipv4/udp.c: compute_score).
 */
static __noinline struct owner *receiver_of(const struct nf_conn *ct, u32 reply)
{
	const struct nf_conntrack_tuple *tuple;
	struct endpoint end = {};
	struct net *net = NULL;
	struct owner *owner;
	u16 family = 0;

	end.proto = proto_of(ct);
	if (!is_datagram(end.proto))
		return NULL;
	tuple = reply ? &ct->tuplehash[1].tuple : &ct->tuplehash[0].tuple;
	if (!READ_OR_COUNT(READ_TUPLE, family, &ct->tuplehash[0].tuple.src.l3num) ||
	    !READ_OR_COUNT(READ_NETNS, net, &ct->ct_net.net) || !read_address(end.address, family, &tuple->src.u3))
		return NULL;
	end.net = (u64)net;
	end.port = read_port(&tuple->src.u.all);
	if (receiver_at(&end, &owner))
		return owner;
	__builtin_memset(end.address, 0, sizeof(end.address));
	end.any = family == AF_INET ? ANY_IPV4 : ANY_IPV6;
	if (receiver_at(&end, &owner))
		return owner;
	end.any = ANY_BOTH;
	receiver_at(&end, &owner);
	return owner;
}

/* An incoming flow of datagrams is of the process that receives there. */
static __noinline int owner_of_receiver(const struct nf_conn *ct, struct flow *flow)
{
	struct owner *owner = flow->via == VIA_INCOMING ? receiver_of(ct, true) : NULL;

	if (owner) {
		flow->owner = *owner;
		barrier();
		flow->via = VIA_SOCKET;
	}
	return nothing();
}

/* Whose flow it is that was there before coretrace: that of its sender, if it is here, or of its receiver. */
static __noinline int owner_of_existing(const struct nf_conn *ct, struct flow *flow)
{
	struct owner *owner = NULL;
	struct peer peer;
	u64 *sk = NULL, address;

	if (peer_of_sender(ct, &peer))
		sk = bpf_map_lookup_elem(&existing, &peer);
	if (!sk && peer_of_flow(ct, &peer))
		sk = bpf_map_lookup_elem(&existing, &peer);
	if (sk) {
		address = *sk;
		owner = bpf_map_lookup_elem(&owners, &address);
	}
	if (!owner)
		owner = receiver_of(ct, false);
	if (!owner)
		owner = receiver_of(ct, true);
	if (owner)
		flow->owner = *owner;
	return nothing();
}

/*
 * What becomes of a packet that was received: by its route (net/ipv4/route.c, net/ipv6/route.c), which both structs begin
 * with. Routes of IPv6 to many (ff00::/8) are not marked as local.
 */
static __noinline u32 via_of_received(struct sk_buff *skb, const struct nf_conn *ct)
{
	u16 protocol = 0, type = 0;
	u8 highest = 0;
	u32 flags = 0;
	u64 dst = 0;
	bool here;

	READ_OR_COUNT(READ_PACKET, dst, &skb->_skb_refdst);
	READ_OR_COUNT(READ_PACKET, protocol, &skb->protocol);
	dst &= SKB_DST_PTRMASK;
	if (!dst)
		return VIA_UNKNOWN;
	if (bpf_ntohs(protocol) == ETH_P_IP) {
		READ_OR_COUNT(READ_PACKET, type, &((struct rtable *)dst)->rt_type);
		here = type == RTN_LOCAL || type == RTN_BROADCAST || type == RTN_MULTICAST;
	} else if (bpf_ntohs(protocol) == ETH_P_IPV6) {
		READ_OR_COUNT(READ_PACKET, flags, &((struct rt6_info *)dst)->rt6i_flags);
		READ_OR_COUNT(READ_TUPLE, highest, &ct->tuplehash[0].tuple.dst.u3);
		here = flags & (RTF_LOCAL | RTF_ANYCAST) || highest == 0xff;
	} else {
		return VIA_UNKNOWN;
	}
	return here ? VIA_INCOMING : VIA_FORWARDED;
}

/* Whether the options ask for a process that is not the current one. (Cgroups: only the current one can be asked.) */
static __always_inline bool task_passes(struct task_struct *task, const struct owner *owner)
{
	if (settings.pidns && !owner->pid)
		return false;
	if (settings.filter_pids && !is_followed(task, owner->pid))
		return false;
	if (settings.uids_len && !uid_matches(owner->uid))
		return false;
	if (settings.filter_comm && !comm_matches(owner->comm))
		return false;
	return !settings.cgroups_len && !settings.only_label && !settings.ignore_label && !settings.refuses;
}

/* An open file of a process is a socket: it is that process's, if it is not yet another's. */
static __noinline int on_existing_socket(struct task_struct *thread, struct file *file)
{
	struct task_struct *task = BPF_CORE_READ(thread, group_leader);
	struct owner owner = {};
	struct peer peer;
	struct socket *socket;
	u64 sk;
	u16 mode, family;
	long err;

	mode = BPF_CORE_READ(file, f_inode, i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return nothing();
	socket = BPF_CORE_READ(file, private_data);
	if (!socket)
		return nothing();
	sk = (u64)BPF_CORE_READ(socket, sk);
	if (!sk)
		return nothing();
	family = BPF_CORE_READ((struct sock *)sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return nothing();
	owner.pid = process_id(false, task);
	owner.tid = thread_id(false, task);
	take_parent(&owner, task);
	owner.uid = BPF_CORE_READ(task, cred, uid.val);
	owner.gid = BPF_CORE_READ(task, cred, gid.val);
	owner.cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	bpf_core_read(owner.comm, sizeof(owner.comm), &task->comm);
	owner.is = task_passes(task, &owner) ? OWNER_WANTED : OWNER_REFUSED;
	owner.label = (struct label){};
	/* One that has acted since is the right one. */
	err = bpf_map_update_elem(&owners, &sk, &owner, BPF_NOEXIST);
	/* An int until 6.4: see ends_process(). */
	if (err && (int)err != -EEXIST)
		count_failure(NO_ROOM_OWNERS, err);
	if (peer_of_socket((void *)sk, &peer)) {
		err = bpf_map_update_elem(&existing, &peer, &sk, BPF_ANY);
		if (err)
			count_failure(NO_ROOM_OWNERS, err);
	}
	take_receiver((void *)sk);
	return nothing();
}
