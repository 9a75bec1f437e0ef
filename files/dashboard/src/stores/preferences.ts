import { defineStore } from 'pinia'
import { ref, watchEffect } from 'vue'
import { pickLocale, type Locale } from '@/i18n'

export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

const KEY = 'cllmh.preferences'

function stored(): { locale?: unknown; theme?: unknown } {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}')
  } catch {
    // Storage switched off, or written by something else: the device's own wishes hold.
    return {}
  }
}

/** Language and appearance, kept in this browser only. */
export const usePreferences = defineStore('preferences', () => {
  const saved = stored()
  const locale = ref<Locale>(pickLocale([saved.locale, ...navigator.languages]))
  const theme = ref<Theme>(THEMES.find(name => name === saved.theme) ?? 'system')
  const prefersDark = window.matchMedia('(prefers-color-scheme: dark)')
  const deviceIsDark = ref(prefersDark.matches)
  prefersDark.addEventListener('change', event => { deviceIsDark.value = event.matches })

  watchEffect(() => {
    const dark = theme.value === 'dark' || (theme.value === 'system' && deviceIsDark.value)
    document.documentElement.dataset.theme = dark ? 'dark' : 'light'
    document.documentElement.lang = locale.value
  })

  function save(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify({ locale: locale.value, theme: theme.value }))
    } catch {
      // A browser that keeps nothing still shows the choice until the page is closed.
    }
  }

  function setLocale(value: Locale): void {
    locale.value = value
    save()
  }

  function setTheme(value: Theme): void {
    theme.value = value
    save()
  }

  return { locale, theme, setLocale, setTheme }
})
