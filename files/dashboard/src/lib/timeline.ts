/** Clips and gaps on one time line, newest first: every second is either on disk or a gap with its cause. */

import type { Clip, Gap } from '@/api/types'
import { dayOf } from './time'

export type TimelineRow = { kind: 'clip'; key: string; at: string; clip: Clip } | { kind: 'gap'; key: string; at: string; gap: Gap }

export interface TimelineDay {
  /** YYYY-MM-DD in the zone of the time line. */
  day: string
  rows: TimelineRow[]
}

const newestFirst = (a: { start: string }, b: { start: string }) => Date.parse(b.start) - Date.parse(a.start)

/**
 * The rows of a time line.
 * While older clips are still to be loaded (`complete` false), gaps that ended before the oldest loaded clip are left
 * out: they would stand next to each other as if nothing had been recorded between them.
 */
export function mergeTimeline(clips: readonly Clip[], gaps: readonly Gap[], complete: boolean): TimelineRow[] {
  const oldest = Math.min(...clips.map(clip => Date.parse(clip.start)))
  const inReach = (gap: Gap) => complete || gap.end === null || Date.parse(gap.end) >= oldest
  const rows: TimelineRow[] = [
    ...clips.map(clip => ({ kind: 'clip' as const, key: `clip-${clip.id}`, at: clip.start, clip })),
    ...gaps.filter(inReach).map(gap => ({
      kind: 'gap' as const,
      key: `gap-${gap.site}-${gap.node}-${gap.camera}-${gap.start}`,
      at: gap.start,
      gap,
    })),
  ]
  return rows.sort((a, b) => newestFirst({ start: a.at }, { start: b.at }))
}

/** Rows under the day of `zone` on which they begin, in the order given. */
export function groupByDay(rows: readonly TimelineRow[], zone: string): TimelineDay[] {
  const days: TimelineDay[] = []
  for (const row of rows) {
    const day = dayOf(row.at, zone)
    const last = days.at(-1)
    if (last?.day === day) last.rows.push(row)
    else days.push({ day, rows: [row] })
  }
  return days
}

/** A freshly fetched first page put before what is already there, each clip once, newest first. */
export function joinClips(fresh: readonly Clip[], known: readonly Clip[]): Clip[] {
  const byId = new Map([...known, ...fresh].map(clip => [clip.id, clip]))
  return [...byId.values()].sort(newestFirst)
}
