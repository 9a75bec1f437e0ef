/** A small fleet for looking at the pages without a hub: two sites, one lost camera, one silent node. Times follow the clock. */

import type { components } from '../src/api/schema'

type Schemas = components['schemas']

const iso = (ms: number) => new Date(ms).toISOString()
const GB = 1e9

function camera(name: string, now: number, state: Schemas['CameraAnswer']['state'], since_s: number, clip_s: number | null): Schemas['CameraAnswer'] {
  return {
    name,
    state,
    since: iso(now - since_s * 1000),
    last_frame_at: iso(now - 800),
    last_clip_at: clip_s === null ? null : iso(now - clip_s * 1000),
    error: state === 'lost' ? { cause: 'camera_lost', text: '10.77.0.32:554: connection timed out' } : null,
  }
}

function disk(
  now: number, used_percent: number, state: Schemas['DiskAnswer']['state'], total_bytes: number, more: Partial<Schemas['DiskAnswer']> = {},
): Schemas['DiskAnswer'] {
  const used_bytes = Math.round((total_bytes * used_percent) / 100)
  const use = (share: number) => ({ bytes: Math.round(used_bytes * share), clips: Math.round(9000 * share), oldest: iso(now - 9 * 86_400_000) })
  return {
    path: '/srv/cctv/recordings', total_bytes, used_bytes, free_bytes: total_bytes - used_bytes, used_percent, inodes_total: 1e6,
    inodes_free: 9e5, inodes_used_percent: 10, state, causes: state === 'ok' ? [] : ['space'], problem: null, cameras: {},
    classes: { pinned: use(0.02), object: use(0.16), motion: use(0.47), continuous: use(0.31) },
    growth: { recorded_bytes_per_day: total_bytes / 26, measured_days: 7, reason: null, days_held: 22.4, full_at: null },
    last_prune: {
      at: iso(now - 1500_000), deleted: 14, freed_bytes: 1.2 * GB, cameras: { gate: { clips: 14, bytes: 1.2 * GB } },
      classes: { continuous: { clips: 14, bytes: 1.2 * GB } },
    },
    smart: { state: 'ok', reason: null }, reported_at: iso(now - 20_000), ...more,
  }
}

export function sites(now: number): Schemas['SiteAnswer'][] {
  return [
    {
      name: 'site-a', title: 'Gudang Cikarang', timezone: 'Asia/Jakarta',
      nodes: [{
        name: 'node-a', online: true, last_report_at: iso(now - 9000), logs: null, disk: disk(now, 61.4, 'ok', 512 * GB),
        cameras: [camera('gate', now, 'recording', 14, 95), camera('yard', now, 'quiet', 5400, null)],
      }],
      routers: [{ name: 'router-a', ddns_name: '4f1c0a7be2d9.sn.mynetname.net', status: 'updated' }],
    },
    {
      name: 'site-b', title: 'Toko Makassar', timezone: 'Asia/Makassar',
      nodes: [
        {
          name: 'node-b', online: true, last_report_at: iso(now - 31_000), logs: null, disk: disk(now, 94.2, 'warn', 128 * GB, {
            causes: ['smart', 'space'], smart: { state: 'failing', reason: '/dev/sda: the disk says that it is failing: replace it' },
            growth: { recorded_bytes_per_day: 5.1 * GB, measured_days: 7, reason: null, days_held: 24, full_at: iso(now + 1.4 * 86_400_000) },
          }),
          cameras: [camera('shop', now, 'quiet', 320, 320), camera('store', now, 'lost', 2520, 7200)],
        },
        {
          name: 'node-b2', online: false, last_report_at: iso(now - 3 * 3600_000), logs: null, disk: disk(now, 40, 'ok', 128 * GB, {
            last_prune: null, smart: { state: 'unknown', reason: '/dev/vda: it has no SMART' },
            growth: { recorded_bytes_per_day: null, measured_days: 0.2, reason: 'too few data', days_held: null, full_at: null },
          }),
          cameras: [camera('backyard', now, 'quiet', 4 * 3600, 4 * 3600)],
        },
      ],
      routers: [{ name: 'router-b', ddns_name: null, status: null }],
    },
  ]
}

const PLACES = [['site-a', 'node-a', 'gate'], ['site-b', 'node-b', 'shop'], ['site-a', 'node-a', 'gate'], ['site-b', 'node-b', 'store']] as const

/** A clip about every seven minutes, the newest first. */
export function clips(now: number): Schemas['ClipAnswer'][] {
  return Array.from({ length: 130 }, (_, index) => {
    const [site, node, name] = PLACES[index % PLACES.length] ?? PLACES[0]
    const seconds = 18 + ((index * 37) % 70)
    // Fixed to the clock's minutes, so that a clip keeps its time from one poll to the next.
    const start = Math.floor(now / 420_000) * 420_000 - index * 420_000 - (index % 5) * 31_000
    const importance = index % 9 === 2 ? 'pinned' : index % 3 === 0 ? 'object' : 'motion'
    return {
      id: Math.floor(start / 1000), site, node, camera: name, start: iso(start), end: iso(start + seconds * 1000), seconds,
      bytes: seconds * 410_000, importance, peak_score: 0.7, labels: importance === 'object' ? ['Person'] : [],
      video_url: `/api/v1/clips/${Math.floor(start / 1000)}/video`,
    }
  })
}

export function gaps(now: number): Schemas['GapAnswer'][] {
  return [
    { site: 'site-b', node: 'node-b', camera: 'store', start: iso(now - 2520_000), end: null, cause: 'camera_lost' },
    { site: 'site-a', node: 'node-a', camera: 'gate', start: iso(now - 3900_000), end: iso(now - 3787_000), cause: 'restart' },
    { site: 'site-b', node: 'node-b', camera: 'shop', start: iso(now - 9000_000), end: iso(now - 8100_000), cause: 'network' },
  ]
}

const LINES = [
  ['site-a', 'node-a', 'node', 'info', 'cllmh-recorder', 'event=clip_closed camera=gate seconds=31.4 bytes=12874000 importance=object msg="Clip closed"'],
  ['site-b', 'node-b', 'node', 'err', 'cllmh-recorder', 'event=camera_lost camera=store cause=timeout host=10.77.0.32:554 msg="Camera does not answer"'],
  ['site-b', 'router-b', 'router', 'warning', 'dhcp', 'defconf offering lease 192.168.88.23 for 5C:E9:31:0A:11:F2 without success'],
  ['site-a', 'dvr-a', 'dvr', 'notice', 'dvr', 'Login ok: user=admin address=10.77.0.21'],
  ['site-a', 'node-a', 'node', 'debug', 'cllmh-hdd-monitor', 'event=disk_checked used_percent=61.4 state=ok'],
  ['site-a', 'router-a', 'router', 'crit', 'system', 'router was rebooted without proper shutdown, probably power outage'],
] as const

export function logs(now: number): Schemas['LogLineAnswer'][] {
  return Array.from({ length: 90 }, (_, index) => {
    const [site, host, kind, severity, app, message] = LINES[index % LINES.length] ?? LINES[0]
    return { at: iso(now - index * 23_000), site, host, kind, severity, app, message, id: `${host}@${1000 - index}` }
  })
}
