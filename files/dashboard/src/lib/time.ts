/** Times: UTC inside (ISO 8601 text as the hub sends it), a site's local time only where a person reads it. */

const DAY_MS = 86_400_000

/** The parts of an instant as a wall clock in `zone` shows them. */
function wallClock(at: Date, zone: string): Record<string, string> {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).formatToParts(at)
  return Object.fromEntries(parts.map(part => [part.type, part.value]))
}

/** Milliseconds that a wall clock in `zone` is ahead of UTC at this instant. */
function offsetMs(at: Date, zone: string): number {
  const p = wallClock(at, zone)
  const shown = Date.UTC(Number(p.year), Number(p.month) - 1, Number(p.day), Number(p.hour), Number(p.minute), Number(p.second))
  return shown - Math.floor(at.getTime() / 1000) * 1000
}

/** Date in `zone`, as YYYY-MM-DD. */
export function dayOf(at: string | Date, zone: string): string {
  const p = wallClock(new Date(at), zone)
  return `${p.year}-${p.month}-${p.day}`
}

/**
 * Time of day in `zone`, as HH:MM:SS.
 * Always 24 hours with colons, in both languages: it is what the DVR's own picture shows.
 */
export function clock(at: string | Date, zone: string): string {
  const p = wallClock(new Date(at), zone)
  return `${p.hour}:${p.minute}:${p.second}`
}

/** The instant when the wall clock in `zone` shows `local` (YYYY-MM-DDTHH:MM), as ISO 8601 UTC. */
export function fromLocal(local: string, zone: string): string {
  const asUtc = Date.parse(`${local}Z`)
  // Once around to cross a change of the clocks: the offset is looked up at a first estimate, then at that instant.
  const estimate = new Date(asUtc - offsetMs(new Date(asUtc), zone))
  return new Date(asUtc - offsetMs(estimate, zone)).toISOString()
}

/** First instant of a day in `zone` and of the day after, as ISO 8601 UTC. */
export function dayBounds(day: string, zone: string): { from: string; to: string } {
  return { from: fromLocal(`${day}T00:00`, zone), to: fromLocal(`${shiftDay(day, 1)}T00:00`, zone) }
}

/** The date `days` later (earlier when negative), as YYYY-MM-DD. */
export function shiftDay(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00Z`) + days * DAY_MS).toISOString().slice(0, 10)
}

/** A date in words, such as "Minggu, 22 November 2026". */
export function dayInWords(day: string, locale: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeZone: 'UTC' }).format(new Date(`${day}T12:00Z`))
}

/** Time zone of the device that shows this page. */
export const ownZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone

/**
 * Short name of a time zone, such as WIB.
 * Only Indonesian has names for Indonesia's zones; they are known there in every language, better than GMT+7.
 */
export function zoneName(zone: string, locale: string, at: Date = new Date()): string {
  const names = [locale, 'id'].map(language => {
    const parts = new Intl.DateTimeFormat(language, { timeZone: zone, timeZoneName: 'short' }).formatToParts(at)
    return parts.find(part => part.type === 'timeZoneName')?.value ?? zone
  })
  return names.find(name => !name.startsWith('GMT')) ?? names[0] ?? zone
}

/** Day, month and time in `zone` with the zone's name, such as "22 Nov 08:14:05 WIB". */
export function dateTime(at: string | Date, zone: string, locale: string): string {
  const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', timeZone: zone }).format(new Date(at))
  return `${day} ${clock(at, zone)} ${zoneName(zone, locale, new Date(at))}`
}

/** An instant as UTC text for people who compare with a log file, such as "2026-11-22 01:14:05 UTC". */
export function utc(at: string | Date): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** How long ago, in words and in the largest whole unit, such as "3 menit yang lalu". A time to come counts as now. */
export function ago(at: string | Date, now: number, locale: string): string {
  const seconds = Math.max(0, Math.round((now - new Date(at).getTime()) / 1000))
  const [unit, size] = STEPS.find(([, step]) => seconds >= step) ?? ['second', 1]
  return new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(-Math.floor(seconds / size), unit)
}
