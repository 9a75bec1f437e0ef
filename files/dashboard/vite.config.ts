import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'
import { sampleHub } from './dev/sample_hub.ts'

/**
 * `npm run dev` talks to the hub named by CLLMH_HUB_URL (its certificate is checked against NODE_EXTRA_CA_CERTS);
 * `npm run dev:sample` and `npm run preview:sample` need no hub: dev/sample_hub.ts answers instead.
 */
export default defineConfig(({ mode }) => {
  const hub = process.env.CLLMH_HUB_URL
  return {
    plugins: [vue(), ...(mode === 'sample' ? [sampleHub()] : [])],
    resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
    // What this page does not use of its libraries is left out: a bad link has to carry the rest.
    define: {
      __VUE_OPTIONS_API__: 'false',
      __VUE_PROD_DEVTOOLS__: 'false',
      __VUE_I18N_LEGACY_API__: 'false',
      __INTLIFY_PROD_DEVTOOLS__: 'false',
      __INTLIFY_DROP_MESSAGE_COMPILER__: 'false',
    },
    build: {
      target: 'es2022',
      // The hub's Content-Security-Policy allows no data: scripts or fonts, and small files cache well.
      assetsInlineLimit: 0,
    },
    server: mode !== 'sample' && hub ? { proxy: { '/api': { target: hub, changeOrigin: true } } } : {},
    test: { include: ['tests/**/*.test.ts'], restoreMocks: true },
  }
})
