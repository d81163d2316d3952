# Makes conn.rec, in a test guest: see README. A client, a router that translates, and a server.
ip() { /usr/sbin/ip "$@"; }
for m in $(grep -v dummy /lib/modules/order); do
	o=; [ "$m" != nf_conntrack ] || o=acct=1
	insmod "/lib/modules/$m.ko" $o
done
for n in client router server; do ip netns add $n; ip -n $n link set lo up; done
ip link add c0 netns client type veth peer name r0 netns router
ip link add s0 netns server type veth peer name r1 netns router
add() { ip -n "$1" addr add "$3" dev "$2"; ip -n "$1" addr add "$4" dev "$2" nodad; ip -n "$1" link set "$2" up; }
add client c0 10.1.0.2/24 2001:db8:1::2/64
add router r0 10.1.0.1/24 2001:db8:1::1/64
add router r1 10.2.0.1/24 2001:db8:2::1/64
add server s0 10.2.0.2/24 2001:db8:2::2/64
ip -n client route add default via 10.1.0.1; ip -n client -6 route add default via 2001:db8:1::1
ip -n server route add default via 10.2.0.1; ip -n server -6 route add default via 2001:db8:2::1
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
for n in client router server; do
	ip netns exec $n nft 'table inet t { chain i { type filter hook input priority 0; ct state new accept; }; chain o { type filter hook output priority 0; ct state new accept; }; chain f { type filter hook forward priority 0; ct state new accept; }; }'
done
ip netns exec router nft 'table ip n { chain pre { type nat hook prerouting priority -100; ip daddr 10.1.0.1 tcp dport 8080 dnat to 10.2.0.2:80; }; chain post { type nat hook postrouting priority 100; oifname r1 tcp dport 80 masquerade; }; }'
cd /tmp
# One that is there before.
ip netns exec server targets net serve-udp 0.0.0.0:53 3 >serve & sleep 1
ip netns exec client targets net ask-udp 10.2.0.2:53 1
coretrace conn -v --updates --record c.rec -O /dev/null 2>err & trace=$!
until grep -q 'attached to' err; do sleep 0.1; done
ip netns exec server targets net serve-tcp 0.0.0.0:80 1 >serve & sleep 1
ip netns exec client targets net ask-tcp 10.1.0.1:8080 5000
ip netns exec server targets net poll-udp '[::]:54' 1 >serve & sleep 1
ip netns exec client targets net ask-udp '[2001:db8:2::2]:54' 1
ip netns exec client targets net ask-udp 10.2.0.2:53 1
ip netns exec client ping -c 1 10.2.0.2 >/dev/null; ip netns exec client ping -6 -c 1 2001:db8:2::2 >/dev/null
ip netns exec client targets net refused 10.2.0.2:81
for n in client router server; do ip netns exec $n conntrack -F 2>/dev/null; done
sleep 1
kill -TERM $trace; wait $trace
cat err >&2
echo c; base64 c.rec
