/** What of the status needs attention, and how grave it is. Colour, icon and word all follow from here. */

import type { Camera, CameraState, Disk, LogBuffer, Node, Site } from '@/api/types'

/** How something stands; each tone has a colour of its own in styles/tokens.css. */
export type Tone = 'ok' | 'busy' | 'warn' | 'bad' | 'none'

/** Tone and icon of each state of a camera. */
export const cameraLook: Record<CameraState, { tone: Tone; icon: IconName }> = {
  unknown: { tone: 'none', icon: 'unknown' },
  starting: { tone: 'none', icon: 'clock' },
  quiet: { tone: 'ok', icon: 'check' },
  suspicious: { tone: 'busy', icon: 'eye' },
  recording: { tone: 'busy', icon: 'record' },
  post_roll: { tone: 'busy', icon: 'half' },
  lost: { tone: 'bad', icon: 'lost' },
  off: { tone: 'none', icon: 'off' },
}

export type IconName =
  | 'status' | 'clips' | 'logs' | 'check' | 'clock' | 'eye' | 'record' | 'half' | 'lost' | 'unknown' | 'warn' | 'disk'
  | 'router' | 'copy' | 'download' | 'back' | 'forward' | 'close' | 'person' | 'camera' | 'off' | 'refresh' | 'play' | 'search' | 'exit'

export const diskLook: Record<Disk['state'], { tone: Tone; icon: IconName }> = {
  ok: { tone: 'ok', icon: 'check' },
  warn: { tone: 'warn', icon: 'warn' },
  critical: { tone: 'bad', icon: 'lost' },
}

export const smartLook: Record<NonNullable<Disk['smart']>['state'], { tone: Tone; icon: IconName }> = {
  ok: { tone: 'ok', icon: 'check' },
  failing: { tone: 'bad', icon: 'lost' },
  unknown: { tone: 'none', icon: 'unknown' },
}

export type Problem =
  | { kind: 'node'; site: Site; node: Node }
  | { kind: 'camera'; site: Site; node: Node; camera: Camera }
  | { kind: 'disk'; site: Site; node: Node; disk: Disk }
  | { kind: 'logs'; site: Site; node: Node; buffer: LogBuffer }

/** All that needs attention: silent nodes, lost cameras, disks and log buffers filling up. Of a silent node only its silence is known. */
export function problemsOf(sites: readonly Site[]): Problem[] {
  return sites.flatMap(site => site.nodes.flatMap((node): Problem[] => {
    if (!node.online) return [{ kind: 'node', site, node }]
    const buffers = node.logs?.buffers.filter(buffer => buffer.state === 'warn') ?? []
    const lost = node.cameras.filter(camera => camera.state === 'lost')
    return [
      ...lost.map(camera => ({ kind: 'camera' as const, site, node, camera })),
      ...(node.disk && node.disk.state !== 'ok' ? [{ kind: 'disk' as const, site, node, disk: node.disk }] : []),
      ...buffers.map(buffer => ({ kind: 'logs' as const, site, node, buffer })),
    ]
  }))
}

export interface Tally {
  good: number
  all: number
}

/** Cameras that are known to work now (reported, not lost, their node online) of all cameras. */
export function cameraTally(sites: readonly Site[]): Tally {
  const nodes = sites.flatMap(site => site.nodes)
  const working = nodes.filter(node => node.online).flatMap(node => node.cameras.filter(camera => !['lost', 'unknown'].includes(camera.state)))
  return { good: working.length, all: nodes.flatMap(node => node.cameras).length }
}

/** Nodes that report of all nodes. */
export function nodeTally(sites: readonly Site[]): Tally {
  const nodes = sites.flatMap(site => site.nodes)
  return { good: nodes.filter(node => node.online).length, all: nodes.length }
}
