// What scrolls sideways fades where more of it lies.
for (const box of document.querySelectorAll(".scroll")) {
  const look = () => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1)
  box.addEventListener("scroll", look, { passive: true })
  new ResizeObserver(look).observe(box)
}
