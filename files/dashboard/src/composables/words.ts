import { computed } from 'vue'
import { INTL } from '@/i18n'
import { bytes, days, lasting, percent } from '@/lib/format'
import { ago, clock, dateTime, dayInWords, dayOf, zoneName } from '@/lib/time'
import { useClock } from '@/stores/clock'
import { usePreferences } from '@/stores/preferences'

/** Numbers and times in the language that the person reads, and as seen from now. */
export function useWords() {
  const preferences = usePreferences()
  const time = useClock()
  const locale = computed(() => INTL[preferences.locale])
  return {
    bytes: (count: number) => bytes(count, locale.value),
    percent: (value: number) => percent(value, locale.value),
    days: (value: number) => days(value, locale.value),
    lasting: (seconds: number) => lasting(seconds, locale.value),
    dayInWords: (day: string) => dayInWords(day, locale.value),
    dateTime: (at: string, zone: string) => dateTime(at, zone, locale.value),
    zoneName: (zone: string) => zoneName(zone, locale.value),
    ago: (at: string | number) => ago(new Date(at).toISOString(), time.now, locale.value),
    /** Time of day when it is today in `zone`, else with its date. */
    moment: (at: string | number, zone: string) => {
      const date = new Date(at)
      return dayOf(date, zone) === dayOf(new Date(time.now), zone) ? clock(date, zone) : dateTime(date, zone, locale.value)
    },
  }
}
