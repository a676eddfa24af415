function h(n,e="",...t){let s=document.createElement(n);return e&&(s.className=e,s.part.add(...e.split(" "))),s.append(...t),s}function y(n,e,t){let s=h("button",n,e);return s.type="button",s.addEventListener("click",t),s}function f(n,e){n.textContent!==e&&(n.textContent=e)}function p(n,e){n.hidden!==e&&(n.hidden=e)}var V=/\bhttps?:\/\/[^\s<>"'`]+/gi,H=/[.,;:!?…]+$/;function U(n){let e=[],t=0;for(let{0:s,index:i}of n.matchAll(V)){let o=Z(s);if(!URL.canParse(o))continue;let r=document.createElement("a");r.href=o,r.textContent=o,r.target="_blank",r.rel="noopener noreferrer nofollow ugc",e.push(n.slice(t,i),r),t=i+o.length}return e.push(n.slice(t)),e.filter(s=>s!=="")}function Z(n){let e=n.replace(H,"");for(;/[)\]}]$/.test(e)&&ee(e);)e=e.slice(0,-1).replace(H,"");return e}function ee(n){let e=n.at(-1)??"",t={")":"(","]":"[","}":"{"}[e]??"";return n.split(t).length<n.split(e).length}var te=["conflict","undecided","too_large","forbidden","bad_request"],q=120,x=class{root=h("article","message");message;#e;#s=h("b","author");#i=h("time","time");#n=y("quote","",()=>this.message?.replyTo&&this.#e.jump(this.message.replyTo));#o=h("div","text");#t=h("div","reactions");#a=h("span","state");#r=h("div","again");#l={version:-1,reactions:"",quote:""};constructor(e){this.#e=e;let{words:t}=e.speech;this.root.tabIndex=-1,this.#o.dir="auto",this.#r.append(y("",t.retry,()=>this.#m((i,o)=>i.retry(o))),y("",t.discard,()=>this.#m((i,o)=>i.discard(o))));let s=h("div","head",this.#s," ",this.#i);this.root.append(s,this.#n,this.#o,this.#t,this.#a,this.#r)}update({message:e,goes:t}){this.message=e;let{speech:s}=this.#e,{words:i}=s,{user:o,mine:r,ts:a,state:l,code:u,deleted:c,version:m}=e;for(let[C,Q]of Object.entries({mine:r,goes:t,deleted:c}))this.root.classList.toggle(C,Q);this.root.dataset.state=l;let b=o?.name||"…";f(this.#s,r?`${b} (${i.you})`:b);let d=new Date(a).toISOString();(this.#i.dateTime!==d||this.#l.version!==m)&&(this.#i.dateTime=d,this.#i.title=s.exact.format(a),f(this.#i,m>1&&!c?`${s.time.format(a)} (${i.edited})`:s.time.format(a))),this.#l.version!==m&&this.#c(e),this.#l.version=m,this.#h(e),this.#d(e);let g=l==="failed",v=g?`${i.notSent} ${i.failures[u]??u}`:i.states[l];f(this.#a,r?v:""),this.#f(this.#r,!g),p(this.#r.firstChild,te.includes(u??""))}#c(e){if(e.deleted)return this.#o.replaceChildren(this.#e.speech.words.deleted);let t;try{t=this.#e.render?.(e)}catch(s){console.error(s)}this.#o.replaceChildren(...t?[t]:U(e.text))}#h({replyTo:e,deleted:t}){if(this.#f(this.#n,!e||t),!e)return;let{words:s}=this.#e.speech,i=this.#e.group.find(e),o=i?.deleted?s.deleted:i?.text??s.unreadable;f(this.#n,i?s.said(i.user?.name??"",D(o)):o)}#d({id:e,reactions:t,reacted:s}){let i=JSON.stringify([t,s]);if(this.#l.reactions===i)return;this.#l.reactions=i;let{group:o,speech:r}=this.#e,a=Object.keys(t);for(let l of[...this.#t.children])a.includes(l.dataset.kind??"")||(this.#f(l,!0),l.remove());for(let l of a){let u=[...this.#t.children].find(m=>m.dataset.kind===l),c=u??y("reaction","",()=>{let m=!this.message?.reacted.includes(l);e&&o.react(e,l,m).catch(()=>{})});c.dataset.kind=l,c.setAttribute("aria-pressed",String(s.includes(l))),c.setAttribute("aria-label",r.words.reaction(l,t[l])),f(c,`${l} ${t[l]}`),u||this.#t.append(c)}}#f(e,t){t&&e.matches(":focus-within")&&this.root.focus({preventScroll:!0}),p(e,t)}async#m(e){if(this.message)try{await e(this.#e.group,this.message.clientId)}catch{}}};function D(n){let e=n.replace(/\s+/g," ");return e.length>q?`${e.slice(0,q).trimEnd()}…`:e}import{createClient as se}from"./palabre.js";var I=new Map;function j(n){let e=I.get(n)??{client:se({url:n,queueStorage:w()}),users:0};I.set(n,e),e.users++,e.client.connect();let t=!0,s=()=>{t&&(t=!1,setTimeout(()=>{--e.users>0||(I.delete(n),e.client.close())}))};return{client:e.client,release:s}}var _=new WeakMap;function P(n,e){return _.set(e,(_.get(e)??0)+1),()=>{let t=(_.get(e)??1)-1;_.set(e,t);let s=n.queue.some(({frame:i})=>i.group===e.name);t===0&&!s&&e.leave()}}function w(){try{return globalThis.sessionStorage??null}catch{return null}}var S=class{root=h("form","composer");#e;#s;#i;#n=h("p","about");#o=h("span");#t=h("textarea","field");#a=h("button","send");#r={};#l="";constructor(e,t,s){this.#e=e,this.#s=s,this.#i=t,this.#t.rows=1,this.#t.placeholder=e.message,this.#t.setAttribute("aria-label",e.message),this.#t.enterKeyHint="send",this.#t.dir="auto",this.#n.append(this.#o," ",y("",e.cancel,()=>this.cancel())),this.root.append(this.#n,this.#t,this.#a),this.#t.value=ie(t),this.root.addEventListener("submit",i=>{i.preventDefault(),this.#c()}),this.#t.addEventListener("keydown",i=>this.#h(i)),this.#t.addEventListener("input",()=>{this.#r.edit||G(t,this.#t.value),this.#t.value.trim()!==""&&s.typed()}),this.#d()}focus(){this.#t.focus()}set textMax(e){this.#t.maxLength=e}reply(e){this.#r.edit&&this.cancel(),this.#r={reply:e},this.#d(),this.focus()}edit(e){this.#r.edit||(this.#l=this.#t.value),this.#r={edit:e},this.#t.value=e.text,this.#d(),this.focus()}cancel(){this.#r.edit&&(this.#t.value=this.#l),this.#r={},this.#d(),this.focus()}#c(){let e=this.#t.value.trim(),{edit:t,reply:s}=this.#r;if(e!==""){if(t?.id){this.cancel(),e!==t.text&&this.#s.edit(t.id,e);return}this.#r={},this.#t.value="",G(this.#i,""),this.#d(),this.#s.send(e,s?.id)}}#h(e){if(e.isComposing)return;let t=this.#t.value===""&&!this.#r.edit;if(e.key==="Enter"&&!e.shiftKey)this.root.requestSubmit();else if(e.key==="Escape"&&(this.#r.edit||this.#r.reply))this.cancel();else if(e.key==="ArrowUp"&&t)this.#s.editLast();else return;e.preventDefault()}#d(){let{edit:e,reply:t}=this.#r,{words:s}={words:this.#e};p(this.#n,!e&&!t);let i=t?`${s.replyingTo(t.user?.name??"")}: ${D(t.text)}`:"";f(this.#o,e?s.editing:i),f(this.#a,e?s.save:s.send)}};function ie(n){try{return w()?.getItem(n)??""}catch{return""}}function G(n,e){try{e?w()?.setItem(n,e):w()?.removeItem(n)}catch{}}var ne=n=>({messages:e=>`Messages in ${e}`,message:"Message",send:"Send",save:"Save",cancel:"Cancel",you:"you",edited:"edited",deleted:"Message deleted",unreadable:"Message not loaded",latest:"Jump to latest",fresh:"New messages",beginning:"This is where the history begins.",loading:"Loading earlier messages…",today:"Today",yesterday:"Yesterday",react:"React",reply:"Reply",edit:"Edit",remove:"Delete",removeSure:"Delete it for all?",retry:"Try again",discard:"Give up",actions:"What to do with this message",reaction:(e,t)=>`${e} ${n(t,{one:`${t} person`,other:`${t} people`})}`,replyingTo:e=>`Reply to ${e}`,editing:"Edit your message",typing:(e,t)=>e.length>3?"Several people are writing…":`${t} ${e.length>1?"are":"is"} writing…`,said:(e,t)=>`${e}: ${t}`,arrived:e=>n(e,{one:`${e} new message`,other:`${e} new messages`}),states:{queued:"Waiting to be sent",sending:"Sending…",sent:"Sent, so far on this server only",settled:"Sent"},notSent:"Not sent:",failures:{closed:"the connection has ended",conflict:"it was sent before with another text",expired:"it waited too long",forbidden:"you may not write here",new_identity:"the server knows you as somebody else now",queue_full:"too much waits already",too_large:"it is too long",undecided:"whether it arrived cannot be known any more"},notJoined:"This group cannot be joined:",lost:e=>n(e,{one:`${e} message was lost here`,other:`${e} messages were lost here`}),mayMiss:"Some messages may be missing here",status:{connecting:"Connecting",connected:"Connected",reconnecting:"Reconnecting",offline:"Offline"},inSeconds:e=>`(${e} s)`,memory:"One server",states_redis:{connecting:"Redis: connecting",healthy:"Cluster",suspect:"Cluster, Redis slow",degraded:"Redis away: this server only",healing:"Redis: catching up"},alone:e=>`Live only on this server since ${e}. Messages from other servers will appear when the link is back.`,caughtUp:e=>`The link is back: ${n(e,{one:`${e} message`,other:`${e} messages`})} caught up.`}),oe=n=>({messages:e=>`Messages de ${e}`,message:"Message",send:"Envoyer",save:"Enregistrer",cancel:"Annuler",you:"vous",edited:"modifié",deleted:"Message supprimé",unreadable:"Message non chargé",latest:"Aller au plus récent",fresh:"Nouveaux messages",beginning:"L’historique commence ici.",loading:"Chargement des messages précédents…",today:"Aujourd’hui",yesterday:"Hier",react:"Réagir",reply:"Répondre",edit:"Modifier",remove:"Supprimer",removeSure:"Supprimer pour tous ?",retry:"Réessayer",discard:"Abandonner",actions:"Que faire de ce message",reaction:(e,t)=>`${e} ${n(t,{one:`${t} personne`,other:`${t} personnes`})}`,replyingTo:e=>`Réponse à ${e}`,editing:"Modifiez votre message",typing:(e,t)=>e.length>3?"Plusieurs personnes écrivent…":`${t} ${e.length>1?"sont en train d’écrire":"est en train d’écrire"}…`,said:(e,t)=>`${e} : ${t}`,arrived:e=>n(e,{one:`${e} nouveau message`,other:`${e} nouveaux messages`}),states:{queued:"En attente d’envoi",sending:"Envoi…",sent:"Envoyé, pour l’instant sur ce serveur seulement",settled:"Envoyé"},notSent:"Non envoyé :",failures:{closed:"la connexion est terminée",conflict:"il a déjà été envoyé avec un autre texte",expired:"il a attendu trop longtemps",forbidden:"vous ne pouvez pas écrire ici",new_identity:"le serveur vous connaît maintenant sous une autre identité",queue_full:"trop de messages attendent déjà",too_large:"il est trop long",undecided:"on ne peut plus savoir s’il est arrivé"},notJoined:"Impossible de rejoindre ce groupe :",lost:e=>n(e,{one:`${e} message perdu ici`,other:`${e} messages perdus ici`}),mayMiss:"Des messages manquent peut-être ici",status:{connecting:"Connexion",connected:"Connecté",reconnecting:"Reconnexion",offline:"Hors ligne"},inSeconds:e=>`(${e} s)`,memory:"Un seul serveur",states_redis:{connecting:"Redis : connexion",healthy:"Grappe",suspect:"Grappe, Redis lent",degraded:"Redis absent : ce serveur seulement",healing:"Redis : rattrapage"},alone:e=>`En direct sur ce serveur seulement depuis ${e}. Les messages des autres serveurs viendront au retour du lien.`,caughtUp:e=>`Le lien est rétabli : ${n(e,{one:`${e} message rattrapé`,other:`${e} messages rattrapés`})}.`}),re={en:ne,fr:oe};function F(n){let e=n.toLowerCase().split("-")[0]==="fr"?"fr":"en",[t=e]=Intl.DateTimeFormat.supportedLocalesOf(/^[A-Za-z]{2,3}(-\w{2,8})*$/.test(n)?n:e),s=t.startsWith(e)?t:e,i=new Intl.PluralRules(s),o=(r,{one:a,other:l})=>i.select(r)==="one"?a:l;return{words:re[e](o),language:s,time:new Intl.DateTimeFormat(s,{hour:"2-digit",minute:"2-digit"}),day:new Intl.DateTimeFormat(s,{weekday:"long",day:"numeric",month:"long"}),exact:new Intl.DateTimeFormat(s,{dateStyle:"full",timeStyle:"medium"}),list:new Intl.ListFormat(s,{type:"conjunction"})}}var ae=globalThis.HTMLElement??class{},k=class extends ae{#e=null;#s=null;#i=null;#n=()=>{};#o=!1;get client(){return this.#e??this.#s}set client(e){this.#s=e,this.renew()}connectedCallback(){this.renew()}disconnectedCallback(){this.renew()}attributeChangedCallback(){this.renew()}renew(){this.#o||(this.#o=!0,queueMicrotask(()=>{this.#o=!1,this.#a(),this.isConnected&&this.#t()}))}open(e,t){}get isShared(){return this.#s===null}get speech(){let e=this.closest("[lang]");return F(e?.lang||navigator.language)}#t(){let e=this.getAttribute("hub"),t=e===null?new URL("/",import.meta.url):new URL(e,document.baseURI),{client:s,release:i}=this.#s?{client:this.#s,release(){}}:j(t.href);this.#e=s,this.#n=i,this.#i=new AbortController,this.open(s,this.#i.signal)}#a(){this.#i?.abort(),this.#n(),this.#n=()=>{},this.#e=null}};var le=["👍","❤️","😂","🎉","😮","😢"],E=class{root=h("div","tools");#e;#s;#i;#n;#o;#t;constructor(e,t){this.#s=e,this.#i=t,this.root.setAttribute("role","group"),this.root.setAttribute("aria-label",e.actions);let s=o=>()=>this.#e&&t[o](this.#e);this.#n=h("div","kinds",...le.map(o=>{let r=y("kind",o,()=>this.#a(o));return r.setAttribute("aria-label",`${e.react} ${o}`),r})),this.#o=y("tool",e.edit,s("edit")),this.#t=y("tool",e.remove,()=>this.remove());let i=y("tool",e.react,()=>this.react());this.root.append(this.#n,i,y("tool",e.reply,s("reply")),this.#o,this.#t),this.rest()}at(e,t){if(!(t.id!==void 0&&!t.deleted))return this.away();this.#e!==t&&this.rest(),this.#e=t,p(this.#o,!t.mine),p(this.#t,!t.mine),this.root.parentNode!==e&&e.append(this.root)}leave(e){this.root.parentNode===e&&(this.root.matches(":focus-within")&&e.focus({preventScroll:!0}),this.away())}away(){this.#e=void 0,this.root.remove()}react(){p(this.#n,!this.#n.hidden),this.#n.hidden||this.#n.firstChild.focus()}remove(){this.#e?.mine&&(this.#t.dataset.sure?(this.#i.remove(this.#e),this.rest()):(this.#t.dataset.sure="asked",f(this.#t,this.#s.removeSure),this.#t.focus()))}#a(e){this.#e&&this.#i.react(this.#e,e),this.root.closest("article")?.focus(),this.rest()}rest(){p(this.#n,!0),delete this.#t.dataset.sure,f(this.#t,this.#s.remove)}};var $=class{following=!0;#e;#s;#i=X();#n=X();#o=[];#t=new Map;#a=new Map;#r=0;#l=0;#c=!1;#h=new ResizeObserver(()=>this.#m());constructor(e,t){this.#e=e,this.#s=t,e.append(this.#i,this.#n),e.addEventListener("scroll",()=>this.#f(),{passive:!0}),this.#h.observe(e)}get screensAbove(){return this.#e.scrollTop/Math.max(1,this.#e.clientHeight)}element(e){return this.#t.get(e)}show(e){let t=this.#p();this.#o=e,this.#v();for(let s of e){let i=this.#t.get(s.key);i&&this.#s.update(i,s)}this.#u(t)}toEnd(){this.following=!0,this.#u(null)}reveal(e,t){let{clientHeight:s,scrollTop:i}=this.#e,o=this.#t.get(e);if(t===void 0&&o){let{offsetTop:r,offsetHeight:a}=o;if(r>=i&&r+a<=i+s)return;t=r<i?0:Math.max(0,1-a/s)}this.following=!1,this.#u({key:e,below:(t??0)*s}),this.following=this.#d()}place(){return this.#p()}restore(e){this.following=!1,this.#u(e)}#d(e=48){let{scrollHeight:t,scrollTop:s,clientHeight:i}=this.#e;return t-s-i<e}#f(){let{scrollTop:e}=this.#e;this.following=this.#d(e<this.#l?2:48),this.#l=e,this.#g()}#m(){let{clientWidth:e}=this.#e;e!==this.#r&&this.#a.clear(),this.#r=e,this.#g()}#g(){this.#c||(this.#c=!0,requestAnimationFrame(()=>{this.#c=!1,this.#u(this.#p())}))}#p(){if(this.following)return null;let{scrollTop:e}=this.#e;for(let{key:t,passing:s}of this.#o){let i=s?void 0:this.#t.get(t);if(i&&i.offsetTop+i.offsetHeight>e)return{key:t,below:i.offsetTop-e}}return null}#u(e){if(this.#e.clientHeight!==0){for(let t=0;t<4;t++){let{from:s,to:i,above:o,below:r}=this.#b(e);this.#y(s,i);let a=this.#w();if(J(this.#i,o),J(this.#n,r),this.#k(e),!a)break}this.#s.moved()}}#b(e){let{clientHeight:t,scrollTop:s}=this.#e,i=[0];for(let{key:b}of this.#o)i.push((i.at(-1)??0)+this.#x(b));let o=i.at(-1)??0,r=Math.min(s,Math.max(0,o-t)),a=e?this.#o.findIndex(({key:b})=>b===e.key):-1;this.following?r=o-t:e&&a>=0&&(r=i[a]-e.below);let l=i.findIndex((b,d)=>(i[d+1]??1/0)>r-1*t),u=i.findIndex(b=>b>r+2*t),c=u<0?this.#o.length:u,m=Math.max(0,Math.min(l,c));return{from:m,to:c,above:i[m],below:o-i[c]}}#y(e,t){let s=this.#o.slice(e,t),i=new Set(s.map(({key:r})=>r));for(let[r,a]of this.#t)i.has(r)||(a.contains(de(a))&&this.#e.focus({preventScroll:!0}),this.#h.unobserve(a),a.remove(),this.#t.delete(r));let o=this.#i.nextElementSibling;for(let r of s){let a=this.#t.get(r.key);a||(a=this.#s.draw(r),this.#t.set(r.key,a),this.#h.observe(a)),a===o?o=o.nextElementSibling:this.#e.insertBefore(a,o)}}#v(){if(this.#a.size<=2*this.#o.length+this.#t.size)return;let e=new Set(this.#o.map(({key:t})=>t));for(let t of this.#a.keys())e.has(t)||this.#a.delete(t)}#w(){let e=!1;for(let[t,s]of this.#t){let i=s.offsetHeight;e||=this.#a.get(t)!==i,this.#a.set(t,i)}return e}#k(e){let t=e&&this.#t.get(e.key),s=this.#e.scrollTop;this.following?s=this.#e.scrollHeight-this.#e.clientHeight:t&&(s=t.offsetTop-e.below),Math.abs(s-this.#e.scrollTop)>=1&&(this.#e.scrollTop=s)}#x(e){return this.#a.get(e)??56}};function X(){let n=document.createElement("div");return n.setAttribute("aria-hidden","true"),n}function J(n,e){n.style.blockSize=`${e}px`}function de(n){return n.getRootNode().activeElement}var ce=3e5,he=1,ue=2e3,fe=3,me=10,T=class{root=h("div","log");latest;announced=h("div","unseen");#e=new Map;#s;#i;#n;#o=[];#t=null;#a=[];#r;constructor(e){this.#i=e;let{words:t}=e.speech;this.root.setAttribute("role","log"),this.root.setAttribute("aria-live","off"),this.root.setAttribute("aria-label",t.messages(e.group.name)),this.root.tabIndex=0,this.announced.setAttribute("role","status"),this.latest=y("latest",t.latest,()=>this.toEnd()),this.latest.hidden=!0,this.#n=new E(t,e.deeds),this.#s=new $(this.root,{draw:s=>this.#m(s),update:(s,i)=>this.#g(s,i),moved:()=>this.#p()});for(let s of["pointerover","focusin"])this.root.addEventListener(s,i=>this.#b(i));this.root.addEventListener("keydown",s=>this.#y(s,e.leave))}show(){this.#o=this.#d(this.#i.group.messages),this.#s.show(this.#o)}markNew(){let{messages:e,unread:t}=this.#i.group,s=e.filter(o=>o.type==="message"&&!o.mine&&!o.deleted),i=t>0?s.at(-t):void 0;this.#t=i?.key??null,this.show(),i&&this.#o.length>0&&this.#s.reveal("new",.1)}toEnd(){this.#s.toEnd(),this.#u()}get atEnd(){return this.#s.following}place(){let e=this.#s.place(),t=this.#o.find(({key:s})=>s===e?.key);return e&&t?.type==="message"&&t.message.id?{id:t.message.id,below:e.below}:null}async restore({id:e,below:t}){let s=await this.#c(e);s&&this.#s.restore({key:s.key,below:t})}async jump(e){let t=await this.#c(e);t&&(this.#s.reveal(t.key,.3),this.#s.element(t.key)?.focus({preventScroll:!0}))}announce(e){this.#a.push(e),this.#r||f(this.announced,""),this.#r??=setTimeout(()=>this.#l(),ue)}closed(){clearTimeout(this.#r)}#l(){this.#r=void 0;let{words:e}=this.#i.speech,t=this.#a.splice(0),s=t.map(({user:i,text:o})=>e.said(i?.name??"",o)).join(`
`);f(this.announced,t.length>fe?e.arrived(t.length):s)}async#c(e){let{group:t}=this.#i;try{for(let s=0;s<me&&!this.#h(e)&&t.hasOlder;s++)await t.loadOlder({limit:100}),this.show()}catch{return}return this.#h(e)}#h(e){let t=this.#o.find(s=>s.type==="message"&&s.message.id===e);return t?.type==="message"?t.message:void 0}#d(e){let{speech:t,group:s}=this.#i,i=s.hasOlder?t.words.loading:t.words.beginning,o=s.position||e.length>0?[A("top","top",i)]:[],r={from:0,to:0},a;for(let l of e){if(l.type==="note"){o.push(A(`note-${l.key}`,"note",this.#f(l))),a=void 0;continue}if(l.ts<r.from||l.ts>=r.to){let c=new Date(l.ts);r.from=c.setHours(0,0,0,0),r.to=c.setDate(c.getDate()+1),o.push(A(`day-${l.key}`,"day",pe(new Date(l.ts),t))),a=void 0}l.key===this.#t&&(o.push(A("new","new",t.words.fresh)),a=void 0);let u=a?.user?.id===l.user?.id&&l.ts-(a?.ts??0)<ce&&!l.replyTo;o.push({type:"message",key:l.key,message:l,goes:a!==void 0&&u}),a=l}return o}#f({lost:e,reason:t}){let{words:s}=this.#i.speech,i=e?s.lost(e):s.mayMiss;return t?`${i} (${t})`:i}#m(e){if(e.type==="line")return h("p",`line ${e.name}`,e.text);let t=new x(this.#i);return this.#e.set(t.root,t),t.update(e),t.root}#g(e,t){if(t.type==="line")return f(e,t.text);this.#e.get(e)?.update(t),t.message.deleted&&this.#n.leave(e)}#p(){let{group:e,seen:t}=this.#i;for(let s of this.#e.keys())s.isConnected||this.#e.delete(s);this.#u(),this.#s.following&&t(),e.hasOlder&&e.joined&&this.#s.screensAbove<he&&e.loadOlder().catch(()=>{})}#u(){this.#s.following&&this.latest.matches(":focus")&&this.root.focus({preventScroll:!0}),p(this.latest,this.#s.following)}#b({target:e,type:t}){if(t==="pointerover"&&this.#n.root.matches(":focus-within"))return;let s=e.closest("article"),i=s&&this.#e.get(s);i?.message&&this.#n.at(i.root,i.message)}#y(e,t){let s=e.target,i=s.closest("article"),o=i&&this.#e.get(i)?.message;if(e.ctrlKey||e.metaKey||e.altKey)return;let{deeds:r}=this.#i,a={ArrowUp:-1,ArrowDown:1}[e.key];if(a)this.#w(o,a);else if(e.key==="Escape"&&o)this.#v(s===i?t:()=>i.focus());else{if(s!==i||!o?.id||o.deleted)return;if(e.key==="r")r.reply(o);else if(e.key==="e"&&o.mine)r.edit(o);else if(e.key==="+")this.#n.react();else if(e.key==="Delete")this.#n.remove();else return}e.preventDefault()}#v(e){e(),this.#n.rest()}#w(e,t){let s=this.#o.filter(r=>r.type==="message"),i=e?s.findIndex(({key:r})=>r===e.key)+t:s.length-1,{key:o}=s[Math.max(0,Math.min(i,s.length-1))]??{};o!==void 0&&(this.#s.reveal(o),this.#s.element(o)?.focus({preventScroll:!0}))}};function A(n,e,t){return{type:"line",key:n,name:e,text:t,passing:!0}}function pe(n,{words:e,day:t}){let s=new Date;return n.toDateString()===s.toDateString()?e.today:(s.setDate(s.getDate()-1),n.toDateString()===s.toDateString()?e.yesterday:t.format(n))}var K=`
:host {
  --_ground: var(--palabre-ground, light-dark(#f6f6f3, #16191a));
  --_surface: var(--palabre-surface, light-dark(#ffffff, #1f2425));
  --_line: var(--palabre-line, light-dark(#d5d7d2, #3a4244));
  --_ink: var(--palabre-ink, light-dark(#1b2021, #e9ecea));
  --_soft: var(--palabre-soft, light-dark(#565e60, #a6b0b1));
  --_accent: var(--palabre-accent, light-dark(#1d6b57, #6fd0b4));
  --_on-accent: var(--palabre-on-accent, light-dark(#ffffff, #10211c));
  --_mine: var(--palabre-mine, light-dark(#e3f1ec, #213a34));
  --_good: var(--palabre-good, light-dark(#1d6b57, #6fd0b4));
  --_busy: var(--palabre-busy, light-dark(#7a5200, #eec168));
  --_bad: var(--palabre-bad, light-dark(#a5241c, #ff9d94));
  --_radius: var(--palabre-radius, 10px);
  color: var(--_ink);
  font: var(--palabre-font, 1rem/1.45 system-ui, sans-serif);
}
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
`,W=`${K}
:host {
  display: flex;
  flex-direction: column;
  min-block-size: 12rem;
  position: relative;
  background: var(--_ground);
}
.unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
.notice { padding: .4rem .8rem; border-inline-start: 4px solid var(--_bad); background: var(--_surface); }
.log {
  flex: 1;
  min-block-size: 0;
  position: relative;
  overflow: hidden auto;
  overflow-anchor: none;
  overscroll-behavior: contain;
  padding-inline: .8rem;
  outline-offset: -3px;
}
.message { position: relative; padding-block-start: .5rem; max-inline-size: 46rem; overflow-wrap: anywhere; outline-offset: -2px; }
.message.goes { padding-block-start: .15rem; }
.message.goes .head { display: none; }
.head { font-size: .85rem; color: var(--_soft); padding-inline: .2rem; }
.author { color: var(--_ink); }
.mine .author { color: var(--_accent); }
.text {
  inline-size: fit-content;
  max-inline-size: 100%;
  padding: .35rem .7rem;
  border-radius: var(--_radius);
  background: var(--_surface);
  white-space: pre-wrap;
}
.mine .text { background: var(--_mine); }
.deleted .text { color: var(--_soft); font-style: italic; }
.text a { color: var(--_accent); }
button {
  font: inherit;
  color: inherit;
  border: 1px solid var(--_line);
  border-radius: 8px;
  background: var(--_surface);
  padding: .3rem .6rem;
  min-block-size: 32px;
  cursor: pointer;
}
.quote {
  display: block;
  max-inline-size: 100%;
  border: 0;
  border-inline-start: 3px solid var(--_accent);
  border-radius: 0;
  background: none;
  color: var(--_soft);
  font-size: .85rem;
  text-align: start;
  text-overflow: ellipsis;
  white-space: nowrap;
  overflow: hidden;
}
.reactions { display: flex; flex-wrap: wrap; gap: .25rem; }
.reactions:not(:empty) { padding-block: .25rem; }
.reaction { border-radius: 999px; font-size: .85rem; padding: 0 .5rem; min-block-size: 28px; }
.reaction[aria-pressed='true'] { border-color: var(--_accent); background: var(--_mine); }
.state { font-size: .75rem; color: var(--_soft); padding-inline: .2rem; }
[data-state='settled'] .state { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
[data-state='queued'] .text, [data-state='sending'] .text { opacity: .75; }
[data-state='failed'] .state { color: var(--_bad); font-weight: 600; }
.again { display: flex; gap: .4rem; padding-block: .2rem; }
.line { padding: .8rem 0 .2rem; text-align: center; font-size: .8rem; color: var(--_soft); }
.new { color: var(--_bad); border-block-end: 1px solid; font-weight: 600; }
.tools {
  position: absolute;
  inset-block-start: -.6rem;
  inset-inline-end: 0;
  display: flex;
  flex-wrap: wrap;
  justify-content: flex-end;
  gap: .2rem;
  padding: .2rem;
  border: 1px solid var(--_line);
  border-radius: 8px;
  background: var(--_surface);
  font-size: .85rem;
  z-index: 1;
}
.kinds { display: flex; gap: .2rem; }
.latest { align-self: center; margin: .3rem; }
.typing { min-block-size: 1.3rem; padding-inline: 1rem; font-size: .8rem; color: var(--_soft); }
.composer {
  display: grid;
  grid-template-columns: minmax(0, 1fr) auto;
  align-items: end;
  gap: .5rem;
  padding: .5rem .8rem calc(.5rem + env(safe-area-inset-bottom));
  background: var(--_surface);
  border-block-start: 1px solid var(--_line);
}
.about { grid-column: 1 / -1; font-size: .85rem; color: var(--_soft); overflow-wrap: anywhere; }
.field {
  font: inherit;
  color: inherit;
  min-inline-size: 0;
  inline-size: 100%;
  min-block-size: 44px;
  max-block-size: 8rem;
  padding: .55rem .7rem;
  border: 1px solid var(--_soft);
  border-radius: 8px;
  background: var(--_ground);
  resize: none;
  field-sizing: content;
}
.send { min-block-size: 44px; border-color: var(--_accent); background: var(--_accent); color: var(--_on-accent); }
@media (pointer: coarse) {
  button { min-block-size: 44px; min-inline-size: 44px; }
}
`,B=`${K}
:host { display: block; }
.badges { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem; }
.badge { border: 1px solid currentColor; border-radius: 999px; padding: .05rem .6rem; font-size: .85rem; color: var(--_soft); }
.badge::before { content: '● '; }
.badge[data-mood='good'] { color: var(--_good); }
.badge[data-mood='busy'] { color: var(--_busy); }
.badge[data-mood='busy']::before { content: '◐ '; }
.badge[data-mood='bad'] { color: var(--_bad); }
.badge[data-mood='bad']::before { content: '○ '; }
.count { font-size: .85rem; color: var(--_soft); }
.banner { margin-block-start: .4rem; padding: .4rem .8rem; border-inline-start: 4px solid var(--_busy); background: var(--_surface); }
`,Y=new Map;function M(n){let e=Y.get(n);return e||(e=new CSSStyleSheet,e.replaceSync(n),Y.set(n,e)),e}var R=class extends k{static observedAttributes=["hub","group","lang"];#e=null;#s=null;get group(){return this.#e}get render(){return this.#s}set render(e){this.#s=e,this.renew()}open(e,t){let s=this.getAttribute("group");if(this.#e=s===null?null:e.group(s),!this.#e)return this.shadowRoot?.replaceChildren();if(this.#i(e,this.#e,t),!this.isShared)return;let i=P(e,this.#e);t.addEventListener("abort",()=>queueMicrotask(i))}#i(e,t,s){let{speech:i}=this,{words:o}=i,r=this.shadowRoot??this.attachShadow({mode:"open",delegatesFocus:!0});r.adoptedStyleSheets=[M(W)];let a=h("p","notice"),l=h("p","typing");a.setAttribute("role","alert");let u=new T({speech:i,group:t,render:this.#s,jump:d=>{u.jump(d)},seen:()=>{!document.hidden&&t.joined&&t.read()},leave:()=>c.focus(),deeds:{react:({id:d,reacted:g},v)=>z(d&&t.react(d,v,!g.includes(v))),reply:d=>c.reply(d),edit:d=>c.edit(d),remove:({id:d})=>{z(d&&t.delete(d)),c.focus()}}}),c=new S(o,`palabre:draft:${t.name}`,{send:(d,g)=>{z(t.send({text:d,replyTo:g})),u.show(),u.toEnd()},edit:(d,g)=>{let{replyTo:v,data:C}=t.find(d)??{};z(t.edit(d,{text:g,replyTo:v,data:C}))},typed:()=>t.type(),editLast:()=>{let d=t.messages.findLast(g=>g.type==="message"&&g.mine&&g.id&&!g.deleted);d?.type==="message"&&c.edit(d)},leave:()=>{}}),m=ge(()=>{if(s.aborted)return;let{refusal:d}=t;f(a,d?`${o.notJoined} ${d.message}`:""),p(a,!d),e.limits.text_chars&&(c.textMax=e.limits.text_chars),u.show()});t.on("change",m,{signal:s}),t.on("message",({message:d})=>d.mine||u.announce(d),{signal:s}),t.on("typing",({typing:d})=>{let g=d.map(({name:v})=>v);f(l,g.length>0?o.typing(g,i.list.format(g)):"")},{signal:s}),document.addEventListener("visibilitychange",m,{signal:s}),s.addEventListener("abort",()=>u.closed());let b=r.activeElement!==null;r.replaceChildren(a,u.root,u.latest,l,c.root,u.announced),b&&c.focus(),p(a,!0),this.#n(t,u,s),m()}async#n(e,t,s){let i=new N(e.name);globalThis.addEventListener("pagehide",()=>i.keep(t.place()),{signal:s});try{await e.join()}catch{return}let o=i.take();o?await t.restore(o):t.markNew()}},N=class{#e;constructor(e){this.#e=`palabre:place:${e}`}keep(e){try{e?w()?.setItem(this.#e,JSON.stringify(e)):w()?.removeItem(this.#e)}catch{}}take(){try{let{id:e,below:t}=JSON.parse(w()?.getItem(this.#e)??"null")??{};return this.keep(null),typeof e=="string"&&typeof t=="number"?{id:e,below:t}:null}catch{return null}}};function z(n){Promise.resolve(n).catch(()=>{})}function ge(n){let e=!1;return()=>{e||(e=!0,requestAnimationFrame(()=>{e=!1,n()}))}}var be={connecting:"busy",connected:"good",reconnecting:"busy",offline:"bad"},ye={connecting:"busy",healthy:"good",suspect:"busy",degraded:"bad",healing:"busy"},ve=1e4,L=class extends k{static observedAttributes=["hub","lang"];open(e,t){let{speech:s}=this,i=this.shadowRoot??this.attachShadow({mode:"open"});i.adoptedStyleSheets=[M(B)];let o=h("span","badge connection"),r=h("span","count"),a=h("span","badge layer"),l=h("p","banner"),u=h("p","badges",o,r,a);r.setAttribute("aria-hidden","true");for(let d of[u,l])d.setAttribute("role","status");i.replaceChildren(u,l);let c=new O(r,s),m=({status:d,wait_ms:g})=>{let v=d!=="connected"&&navigator.onLine===!1?"offline":d;o.dataset.mood=be[v],f(o,s.words.status[v]),c.from(d==="reconnecting"?g??0:0)};e.on("status",m,{signal:t});for(let d of["online","offline"])globalThis.addEventListener(d,()=>m({status:e.status}),{signal:t});m({status:e.status});let b=d=>we(a,l,d,s,t);e.on("layer",b,{signal:t});for(let d of[a,l])p(d,!0);e.layer&&b(e.layer),t.addEventListener("abort",()=>c.from(0))}};function we(n,e,{state:t,mode:s,scope:i,since:o,caught_up:r},{words:a,time:l},u){let c=s==="memory";n.dataset.mood=c?"good":ye[t]??"busy",f(n,c?a.memory:a.states_redis[t]??t),p(n,!1);let m=!c&&i==="node",b=!m&&(r?.messages??0)>0;if(m&&f(e,a.alone(l.format(o))),b){f(e,a.caughtUp(r?.messages??0));let d=setTimeout(()=>p(e,!0),ve);u.addEventListener("abort",()=>clearTimeout(d))}p(e,!m&&!b)}var O=class{#e;#s;#i;constructor(e,t){this.#e=e,this.#s=t}from(e){clearInterval(this.#i);let t=Date.now()+e,s=()=>{let i=Math.round((t-Date.now())/1e3);f(this.#e,i>0?this.#s.words.inSeconds(i):""),i<=0&&clearInterval(this.#i)};e>0&&(this.#i=setInterval(s,1e3)),s()}};var ke=[["palabre-chat",R],["palabre-status",L]];for(let[n,e]of ke)globalThis.customElements&&!customElements.get(n)&&customElements.define(n,e);export{R as PalabreChat,L as PalabreStatus};
