/* What does the page say to a reader whose browser speaks Japanese? Its own words only: a run's are in `said`. */

const SPEAKS_JAPANESE = (navigator.language ?? "").toLowerCase().startsWith("ja");

const JAPANESE = {
  "Comparison": "比較", "Figures": "指標", "Confusion": "混同行列", "Ranking": "ランキング", "Distributions": "分布", "Lines": "行",
  "Gate": "ゲート", "Gate: ": "ゲート: ", "Light or dark": "明るさを切り替え", "Parts of this report": "このレポートの内容",
  "run": "実行", "flow": "フロー", "variant": "バリアント", "combination": "組み合わせ", "data": "データ", "builds on": "元の実行", "evaluated by": "評価",
  "lines": "行数", "failures": "失敗の内訳", "took": "所要時間", "a line takes": "1 行の時間", "tokens": "トークン", "cost": "費用", "made": "作成日時", "tags": "タグ",
  "Completed": "完了", "Failed": "失敗", "Canceled": "中止", "Bypassed": "スキップ", "Running": "実行中",
  "better": "改善", "no worse": "劣らない", "worse": "悪化", "inconclusive": "判定できない", "pass": "合格", "fail": "不合格",
  "rule": "規則", "what came of it": "結果", "metric": "指標", "verdict": "判定", "difference": "差", "changed lines": "変わった行", "95 % interval": "95 % 区間",
  "less is better": "小さいほど良い", " against ": " ／ 基準: ", "true label": "正解", "recall": "再現率",
  "Each run is held against ": "各実行を基準 ", " on the lines that both scored: the difference with its 95 % interval": " と、両方が採点した行で比べた差とその 95 % 区間", ".": "。",
  "Means over the lines that were scored, with 95 % intervals where lines have scores; other figures are as they were logged.": "採点された行の平均と、行ごとの値がある場合の 95 % 区間。その他は記録された値です。",
  "Rows are what is true, columns what was answered. A cell leads to its lines.": "行が正解、列が回答です。セルから該当する行へ移れます。",
  "Search ": "検索 ", "Show ": "表示 ", "Score ": "指標 ", "words in inputs, answers, errors": "入力・回答・エラーの語句",
  "No line is like that.": "該当する行はありません。", "All lines": "すべての行", "One cell of the matrix": "混同行列のセル", "Lines; the column heads sort, a line's number opens it": "行の一覧。見出しで並べ替え、番号で開きます",
  " true ": " 正解 ", ", answered ": "、回答 ", "line": "行", "status": "状態", "inputs": "入力", "expected": "期待", "answer": "回答",
  "Previous": "前へ", "Next": "次へ", "Close": "閉じる", "Line ": "行 ", "Inputs": "入力", "Expected": "期待される回答", "Answers": "回答", "Answer": "回答", "Conversation": "会話", "Outputs": "出力", "Output": "出力",
  "All runs answer the same.": "すべての実行が同じ回答です。", " the same": " 同じ", "Trace": "トレース", "Trace of ": "トレース: ", "Evaluation ": "評価 ", "not asked": "質問されていません", "from the cache": "キャッシュから",
  "Prompt": "プロンプト", "Printed": "表示された内容", "Traceback": "トレースバック", "model": "モデル", "endpoint": "エンドポイント", "began after": "開始まで", "answered": "回答元", "stopped": "終了理由", " in ": " ノード ",
  "No trace here; lines.jsonl in the run's folder has it.": "ここにトレースはありません。実行フォルダーの lines.jsonl にあります。",
};

/** Words with numbers or names in them. */
const IN_JAPANESE = [
  [/^([\d,]+) of ([\d,]+) completed$/, "$2 行中 $1 行完了"], [/^([\d,]+) failed$/, "$1 行失敗"], [/^, ([\d,]+) skipped$/, "、$1 行対象外"],
  [/^([\d,]+) of ([\d,]+) lines$/, "$2 行中 $1 行"], [/^Show ([\d,]+) more of ([\d,]+)$/, "残り $2 行のうち $1 行を表示"],
  [/^([\d,]+) better$/, "改善 $1 行"], [/^([\d,]+) worse$/, "悪化 $1 行"], [/^([\d,]+) newly failing$/, "新たに失敗 $1 行"], [/^([\d,]+) no longer failing$/, "失敗が解消 $1 行"],
  [/^about ([\d,]+) lines would settle it$/, "約 $1 行あれば判定できます"], [/^(\S+) to (\S+)$/, "$1 ～ $2"], [/^ ([\d,]+) of ([\d,]+) right$/, " $2 行中 $1 行正解"], [/^([\d,]+) more figures$/, "ほかの指標 $1 件"],
  [/^, p-values corrected for ([\d,]+) candidates \(Holm\)\.$/, "です。p 値は候補 $1 件について補正しています（Holm）。"],
  [/^All lines \(([\d,]+)\)$/, "すべての行 ($1)"], [/^Failed \(([\d,]+)\)$/, "失敗 ($1)"], [/^Answers differ \(([\d,]+)\)$/, "回答が異なる ($1)"],
  [/^([A-Z]): better \(([\d,]+)\)$/, "$1: 改善 ($2)"], [/^([A-Z]): worse \(([\d,]+)\)$/, "$1: 悪化 ($2)"], [/^([A-Z]): newly failing \(([\d,]+)\)$/, "$1: 新たに失敗 ($2)"], [/^([A-Z]): no longer failing \(([\d,]+)\)$/, "$1: 失敗が解消 ($2)"],
  [/^([\d,]+) tokens in, ([\d,]+) out$/, "入力 $1、出力 $2 トークン"], [/^([\d,]+)\+([\d,]+) tokens$/, "$1+$2 トークン"], [/^([\d,]+) in, ([\d,]+) out$/, "入力 $1、出力 $2"], [/^Open line (.*)$/, "行 $1 を開く"], [/^Timeline of (.*)$/, "$1 のタイムライン"],
  [/^Written by promptflow_lite on (.*)\. This file loads nothing from elsewhere\.$/, "promptflow_lite が $1 に作成しました。このファイルは外部から何も読み込みません。"],
];

/** The page's words in the reader's language. */
function words(string) {
  if (!SPEAKS_JAPANESE || typeof string !== "string") return string;
  if (Object.hasOwn(JAPANESE, string)) return JAPANESE[string];
  const found = IN_JAPANESE.find(([pattern]) => pattern.test(string));
  return found ? string.replace(...found) : string;
}

if (SPEAKS_JAPANESE) document.documentElement.lang = "ja";
