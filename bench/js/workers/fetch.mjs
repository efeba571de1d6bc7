// A Worker that checks nothing, and forwards each request to the upstream.

export default {
  fetch(request, { UPSTREAM }) {
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(UPSTREAM + pathname + search, request));
  },
};
