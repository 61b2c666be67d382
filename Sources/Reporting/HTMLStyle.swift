extension HTMLPage {
  /// The style sheet: one column on a phone, more where there is room; light, dark, and on paper.
  static let style = """
    :root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #59636e; --rule: #d8dee4;
      --card: #f6f8fa; --warn: #9a3412; }
    @media (prefers-color-scheme: dark) { :root { --paper: #11151a; --ink: #e6e9ed; --soft: #9aa4b0;
      --rule: #30363d; --card: #191e24; --warn: #fdba74; } }
    @media print { :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --card: #fff;
      --warn: #7c2d12; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--paper); color: var(--ink);
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
    main { max-width: 90rem; margin: 0 auto; padding: 1.25rem clamp(0.9rem, 3vw, 2.5rem) 3rem; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; overflow-wrap: anywhere; }
    h2 { font-size: 1.2rem; margin: 2.2rem 0 0.8rem; padding-bottom: 0.3rem;
      border-bottom: 1px solid var(--rule); }
    p { margin: 0.4rem 0; max-width: 60rem; overflow-wrap: anywhere; }
    .warning { color: var(--warn); font-weight: 600; }
    .key { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 0.75rem;
      margin: 1rem 0 0; }
    .key div { background: var(--card); border: 1px solid var(--rule); border-radius: 0.5rem;
      padding: 0.6rem 0.8rem; }
    .key dt { color: var(--soft); font-size: 0.85rem; }
    .key dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
    .key .note { color: var(--soft); font-size: 0.8rem; font-weight: 400; }
    .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
      gap: 1rem; align-items: start; margin: 0.8rem 0; }
    figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 0.5rem;
      padding: 0.8rem; break-inside: avoid; max-width: 44rem; }
    figure img { display: block; width: auto; max-width: 100%; height: auto; margin: 0 auto;
      image-rendering: pixelated; }
    figcaption { color: var(--soft); font-size: 0.85rem; margin-top: 0.5rem; overflow-wrap: anywhere; }
    .chart { display: block; width: 100%; height: auto; font-size: 12px; }
    .chart text { fill: var(--soft); }
    .grid { stroke: var(--rule); stroke-width: 1; }
    .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
    .dashed { stroke-dasharray: 5 3; }
    .dot { fill: var(--c); fill-opacity: 0.75; }
    .ring { fill: none; stroke: var(--c); stroke-width: 2; }
    .bar { fill: var(--c); }
    .hit { fill: transparent; }
    .hit:hover { fill: var(--c); }
    .legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; font-size: 0.85rem; margin: 0.4rem 0 0; }
    .legend span { display: inline-flex; align-items: center; gap: 0.35rem; overflow-wrap: anywhere; }
    .legend svg { width: 24px; height: 8px; flex: none; }
    .c0 { --c: #3f6fd1; } .c1 { --c: #e8590c; } .c2 { --c: #2f9e44; } .c3 { --c: #c2255c; }
    .c4 { --c: #9c7a00; } .c5 { --c: #8250df; } .c6 { --c: #0c8599; } .c7 { --c: #a0522d; }
    .c8 { --c: #e64980; } .c9 { --c: #7a828c; }
    .scroll { overflow-x: auto; margin: 0.8rem 0;
      background: linear-gradient(to right, var(--paper) 40%, transparent) left / 3rem 100% no-repeat local,
        linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
        linear-gradient(to right, var(--rule), transparent) left / 1.2rem 100% no-repeat scroll,
        linear-gradient(to left, var(--rule), transparent) right / 1.2rem 100% no-repeat scroll; }
    table { border-collapse: collapse; font-size: 0.9rem; }
    .caption { color: var(--soft); font-size: 0.85rem; }
    th, td { text-align: left; padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--rule);
      vertical-align: top; }
    th { color: var(--soft); font-weight: 600; }
    .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
    .list { columns: 20rem; column-gap: 2.5rem; margin: 0.8rem 0; font-size: 0.9rem; }
    .list div { display: flex; gap: 1rem; justify-content: space-between; break-inside: avoid;
      border-bottom: 1px solid var(--rule); padding: 0.15rem 0; }
    .list dt { color: var(--soft); white-space: nowrap; }
    .list dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
    @media print { body { font-size: 11px; } main { padding: 0; max-width: none; }
      h2 { break-after: avoid; } .scroll { overflow: visible; }
      .row { grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); }
      table, .list { font-size: 9px; } th, td { padding-right: 0.5rem; }
      * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
    """
}
