import { createI18n } from 'vue-i18n'
import en from './en.json'
import id from './id.json'

export const LOCALES = ['id', 'en'] as const
export type Locale = (typeof LOCALES)[number]

/** The language's form for numbers and dates: English as in most of the world, with the day first and 24 hours. */
export const INTL: Record<Locale, string> = { id: 'id-ID', en: 'en-GB' }

/** The first of the wished languages that there is ("en-GB" counts as "en"); Indonesian when there is none. */
export function pickLocale(wishes: readonly unknown[]): Locale {
  for (const wish of wishes) {
    const found = LOCALES.find(locale => typeof wish === 'string' && (wish === locale || wish.startsWith(`${locale}-`)))
    if (found) return found
  }
  return 'id'
}

export function makeI18n(locale: Locale) {
  return createI18n({ legacy: false, locale, fallbackLocale: 'en', messages: { id, en } })
}
