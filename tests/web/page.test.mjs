// The page in a real Chromium: `node --test page.test.mjs`. Against the mock, or a real daemon: see world.mjs.
// Screenshots of every view go to build/web.
import "./page_life.mjs";
import "./page_use.mjs";
