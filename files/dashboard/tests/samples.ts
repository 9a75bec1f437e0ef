/** Answers of the hub, as small as the tests need them. */

import type { Clip, Disk, Gap, Node, Site } from '@/api/types'

export const clip = (id: number, start: string, more: Partial<Clip> = {}): Clip => ({
  id, site: 'site-a', node: 'node-a', camera: 'gate', start, end: new Date(Date.parse(start) + 20_000).toISOString(), seconds: 20,
  bytes: 1000, importance: 'motion', peak_score: null, labels: [], video_url: `/api/v1/clips/${id}/video`, ...more,
})

export const gap = (start: string, end: string | null, cause: Gap['cause'] = 'network'): Gap =>
  ({ site: 'site-a', node: 'node-a', camera: 'gate', start, end, cause })

export const diskOf = (more: Partial<Disk> = {}): Disk => ({
  path: '/srv', total_bytes: 110, used_bytes: 90, free_bytes: 10, used_percent: 90, inodes_total: 1, inodes_free: 1, state: 'ok', cameras: {},
  last_prune: null, inodes_used_percent: null, causes: [], problem: null, classes: {}, growth: null, smart: null,
  reported_at: '2026-11-22T02:00:00Z', ...more,
})

export const node = (more: Partial<Node> = {}): Node =>
  ({ name: 'node-a', online: true, last_report_at: '2026-11-22T03:00:00Z', disk: null, logs: null, cameras: [], ...more })

export const site = (nodes: Node[], more: Partial<Site> = {}): Site =>
  ({ name: 'site-a', title: 'Site A', timezone: 'Asia/Jakarta', nodes, routers: [], ...more })
