# Makes probe.rec, uprobe.rec and usdt.rec, in a test guest: see README.
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
	--with 'probe --stack=12 fn:vfs_rmdir kprobe:do_exit(code)' \
	-- ./script "$(printf '\033[31mred')" >/dev/null 2>&1
cp /bin/targets targets
coretrace uprobe -q --stack=4 --record u.rec './targets:func_uprobe1(x:u64)' \
	'./targets:func_uprobe2(x:u64, y:x, p:ptr) if x > 1' './targets:func_recursive(n:u64) if n == 1' \
	-- sh -c './targets umark 3; ./targets umark-recursion 3' >/dev/null 2>&1
coretrace usdt -q --record s.rec './targets:groupc:*' -- ./targets umark-forms 2 >/dev/null 2>&1
for name in p u s; do echo "$name"; base64 $name.rec; done
