/** What takes the room on a node's disk. */

import type { Disk } from '@/api/types'

/** Classes of clips, those that outlive the others first; `other` is all that is no clip. */
export const SHARE_NAMES = ['pinned', 'object', 'motion', 'continuous', 'other'] as const
export type ShareName = (typeof SHARE_NAMES)[number]

export interface Share {
  name: ShareName
  bytes: number
  /** Of all that can be used, 0 to 100. */
  percent: number
}

/** The shares of the room in use, none of them empty. Together they are what the disk's bar shows as full. */
export function sharesOf(disk: Disk): Share[] {
  const usable = Math.max(1, disk.used_bytes + disk.free_bytes)
  let rest = disk.used_bytes
  return SHARE_NAMES.flatMap((name): Share[] => {
    // The index and the file system are not asked at the same instant: never more than is in use.
    const bytes = Math.min(rest, name === 'other' ? rest : (disk.classes[name]?.bytes ?? 0))
    rest -= bytes
    return bytes > 0 ? [{ name, bytes, percent: (100 * bytes) / usable }] : []
  })
}
