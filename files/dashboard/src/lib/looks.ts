/** Icon and tone for the kinds of things on the clip and log pages. */

import type { Clip } from '@/api/types'
import type { IconName, Tone } from './health'

/** Look of a clip's importance. */
export const importanceLook: Record<Clip['importance'], { tone: Tone; icon: IconName }> = {
  pinned: { tone: 'warn', icon: 'check' },
  object: { tone: 'busy', icon: 'person' },
  motion: { tone: 'ok', icon: 'status' },
  continuous: { tone: 'none', icon: 'clips' },
}

/** Syslog's names of severities, the gravest first. */
export const SEVERITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const

export type Severity = (typeof SEVERITIES)[number]

export const isSeverity = (text: string | undefined): text is Severity => SEVERITIES.some(name => name === text)

/** A severity and all graver ones. */
export const atLeast = (severity: Severity): Severity[] => SEVERITIES.slice(0, SEVERITIES.indexOf(severity) + 1)

/** Look of a log line's severity. */
export function severityLook(severity: string): { tone: Tone; icon: IconName } {
  const rank = SEVERITIES.findIndex(name => name === severity)
  if (rank < 0) return { tone: 'none', icon: 'unknown' }
  if (rank <= 3) return { tone: 'bad', icon: 'lost' }
  if (severity === 'warning') return { tone: 'warn', icon: 'warn' }
  if (severity === 'notice') return { tone: 'busy', icon: 'eye' }
  return { tone: 'none', icon: severity === 'info' ? 'check' : 'logs' }
}

/** What a log line may come from. */
export const LOG_KINDS = ['node', 'dvr', 'router'] as const
export type LogKind = (typeof LOG_KINDS)[number]

export const isLogKind = (text: string | undefined): text is LogKind => LOG_KINDS.some(name => name === text)
