# Makes probe.rec, in a test guest: see README.
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mkdir -p /tmp/hello; cd /tmp/hello
ip link set lo up 2>/dev/null || ifconfig lo up
printf '#!/bin/sh\necho "$1" > written; mv written renamed; rm renamed missing; mkdir dir; rmdir dir\nwget -q -O - http://127.0.0.1:9/ ; sleep 0.01; exit 3\n' > script
chmod +x script
coretrace probe -q --record p.rec 'fn:vfs_unlink' 'fn:vfs_rename(*)' \
	'fn:vfs_write(file, count, text=buf:str[8], bytes=buf:bytes[6]) if comm == "script"' 'fn:vfs_mk*' 'fn:tcp_v4_connect' \
	'tp_btf:sched_process_exit(p, heap=p->mm->start_brk:x, cred=p->cred, nr=*p->nsproxy->net_ns)' \
	tracepoint:sched:sched_process_exec raw_tracepoint:sched_process_fork \
	'fn:do_filp_open(dfd, name=pathname->name:str, *op)' 'fn:call_rcu(func)' 'fn:hrtimer_nanosleep' \
	-- ./script "$(printf '\033[31mred')" >/dev/null 2>&1
base64 p.rec
