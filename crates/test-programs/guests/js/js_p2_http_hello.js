// A server in the style of web workers: `/` says hello, `/throw` throws, `/json` echoes JSON.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  switch (new URL(request.url).pathname) {
    case "/throw":
      throw new Error("this error is on purpose");
    case "/json":
      return new Response(JSON.stringify(await request.json()), {
        headers: { "content-type": "application/json" },
      });
    default:
      return new Response("hello from a sealed component\n", {
        headers: { "content-type": "text/plain" },
      });
  }
}
