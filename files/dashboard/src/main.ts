import { createPinia } from 'pinia'
import { createApp } from 'vue'
import App from './App.vue'
import { makeI18n } from './i18n'
import { makeRouter } from './router'
import { usePreferences } from './stores/preferences'
import './styles/tokens.css'
import './styles/base.css'

const app = createApp(App)
app.use(createPinia())
// Before anything is drawn, so that nobody is dazzled by the wrong theme.
const preferences = usePreferences()
app.use(makeI18n(preferences.locale))
app.use(makeRouter())
app.mount('#app')
