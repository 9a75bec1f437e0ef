/** How long to wait before the next poll. */

export interface Pace {
  /** Wait after a success, milliseconds. */
  everyMs: number
  /** Longest wait after failures, milliseconds. */
  mostMs: number
}

/**
 * Wait before the next try, milliseconds: the pace while all is well, doubled with each failure in a row up to
 * `mostMs`, then spread by up to a fifth so that the browsers of many guards do not come back at the same moment.
 */
export function nextWait(failures: number, pace: Pace, random: () => number = Math.random): number {
  if (failures === 0) return pace.everyMs
  const wait = Math.min(pace.mostMs, pace.everyMs * 2 ** failures)
  return Math.round(wait * (0.8 + 0.4 * random()))
}
