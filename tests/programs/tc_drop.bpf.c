// SPDX-License-Identifier: MIT OR Apache-2.0
// A traffic control classifier with direct action: drops UDP datagrams to port 7778,
// and counts bytes by protocol in a map that tc pins by name.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} bytes_by_protocol SEC(".maps");

SEC("classifier")
int drop_other_port(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return TC_ACT_OK;

	__u32 key = ip->protocol;
	__u64 length = skb->len, *bytes = bpf_map_lookup_elem(&bytes_by_protocol, &key);

	if (bytes)
		__sync_fetch_and_add(bytes, length);
	else
		bpf_map_update_elem(&bytes_by_protocol, &key, &length, BPF_NOEXIST);
	return ip->protocol == IPPROTO_UDP && udp->dest == bpf_htons(7778) ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
